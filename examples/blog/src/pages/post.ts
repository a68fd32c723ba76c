import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { byline, publishedOn } from './byline.ts'
import { layout } from './layout.ts'

interface PostPageOptions {
  post: Post
  /** All posts, newest first. */
  posts: readonly Post[]
  reader: Person | null
}

const MORE_POSTS = 3

export function postPage({ post, posts, reader }: PostPageOptions): VNode {
  const { author } = post
  const others = posts.filter(other => other.author === author && other !== post).slice(0, MORE_POSTS)
  return layout({
    title: post.title,
    description: post.summary,
    reader,
    path: `/posts/${post.slug}`,
    children: html`
      <article class="post">
        <header>
          <p class="eyebrow"><span>${post.topic}</span> ${publishedOn(post)}</p>
          <h1>${post.title}</h1>
          <p class="summary">${post.summary}</p>
          ${byline(post)}
        </header>
        <div class="body" dangerouslySetInnerHTML=${{ __html: post.body }}></div>
      </article>
      <aside class="more">
        <p class="about"><a href=${`/authors/${author.slug}`}>${author.name}</a> ${author.about}</p>
        <h2>More by ${author.name}</h2>
        <ul>
          ${others.map(({ slug, title }) => html`<li><a href=${`/posts/${slug}`}>${title}</a></li>`)}
        </ul>
      </aside>
    `,
  })
}
