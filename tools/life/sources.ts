/** Where readers come from: the page with the link, and what the link adds to the address of the post. */

export type Source = readonly [weight: number, referer: string | null, query?: string]

const LETTER = 'utm_source=odd-hours&utm_medium=email&utm_campaign=letter-{month}'

/** `{month}` is the month of the visit. */
export const SOURCES: Record<'regular' | 'passer-by', readonly Source[]> = {
  regular: [
    [46, null],
    [10, null, LETTER],
    [2, 'https://mail.google.com/', LETTER],
    [8, 'https://letters.example/odd-hours'],
    [9, 'https://feedly.com/'],
    [3, 'https://www.inoreader.com/'],
    [2, 'https://newsblur.com/'],
    [6, 'https://duckduckgo.com/'],
    [5, 'https://mastodon.social/'],
    [2, 'https://bsky.app/'],
    [3, 'https://www.google.com/'],
    [2, null, 'utm_source=mastodon&utm_medium=social&utm_campaign=new-posts'],
    [1, null, 'ref=blogroll'],
  ],
  'passer-by': [
    [24, 'https://www.google.com/'],
    [3, 'https://www.google.de/'],
    [3, 'https://www.google.pl/'],
    [4, 'android-app://com.google.android.googlequicksearchbox/'],
    [20, null],
    [7, 'https://duckduckgo.com/'],
    [6, 'https://www.bing.com/'],
    [1, 'https://www.ecosia.org/'],
    [1, 'https://search.brave.com/'],
    [1, 'https://kagi.com/'],
    [5, 'https://chatgpt.com/', 'utm_source=chatgpt.com'],
    [2, null, 'utm_source=chatgpt.com'],
    [2, 'https://www.perplexity.ai/'],
    [1, 'https://claude.ai/'],
    [1, 'https://gemini.google.com/'],
    [1, 'https://copilot.microsoft.com/'],
    [6, 'https://www.reddit.com/'],
    [4, 'https://mastodon.social/'],
    [4, 'https://bsky.app/'],
    [2, 'https://t.co/'],
    [3, 'https://www.linkedin.com/'],
    [2, 'https://l.facebook.com/'],
    [1, 'https://www.youtube.com/'],
    [3, 'https://news.ycombinator.com/'],
    [1, 'https://lobste.rs/'],
    [3, 'https://letters.example/odd-hours'],
    [2, null, LETTER],
    [2, 'https://slow-web.example/links'],
    [1, 'https://kitchen-notes.example/'],
    [1, 'android-app://com.example.reader/'],
    [1, null, 'ref=hackernewsletter'],
    [1, 'https://www.google.com/', 'utm_source=google&utm_medium=cpc&utm_campaign=autumn-readers'],
    [1, null, 'utm_source=riders-club&utm_medium=referral&utm_campaign=spring-rides'],
  ],
}

/** Sites that send many readers to one post for a day or two. */
export const BURST_SITES = ['https://news.ycombinator.com/', 'https://www.reddit.com/', 'https://lobste.rs/']
