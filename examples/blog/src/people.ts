/** The authors and readers. A real blog has them in a database. */

export interface Person {
  /** Sent to analytics as `user_id`. */
  id: number
  slug: string
  name: string
  about: string
  role: 'author' | 'reader'
}

export const PEOPLE: readonly Person[] = [
  {
    id: 1,
    slug: 'ines',
    name: 'Inês Carvalho',
    about: 'writes software that other software waits for, in Porto, and about what went wrong with it.',
    role: 'author',
  },
  {
    id: 2,
    slug: 'tomasz',
    name: 'Tomasz Wrona',
    about: 'cooks in Kraków, mostly on weekdays, from a drawer of notes that his grandmother never dated.',
    role: 'author',
  },
  {
    id: 3,
    slug: 'maren',
    name: 'Maren Okafor',
    about: 'rides a bicycle for longer than is reasonable and has stopped counting anything but the rolls.',
    role: 'author',
  },
  {
    id: 4,
    slug: 'yuki',
    name: 'Yuki Lindqvist',
    about: 'has plot 11, between the hedge and the man with the hat, and a notebook with earth in it.',
    role: 'author',
  },
  {
    id: 5,
    slug: 'dov',
    name: 'Dov Halloran',
    about: 'mends what people bring him in bags. Nothing with a screen.',
    role: 'author',
  },
  {
    id: 6,
    slug: 'noor',
    name: 'Noor Haddad',
    about: 'joined this month, and is still looking for a first sentence.',
    role: 'author',
  },
  { id: 11, slug: 'ada', name: 'Ada Quist', about: 'reads everything, on the train.', role: 'reader' },
  { id: 12, slug: 'ben', name: 'Ben Osei', about: 'came for the soup.', role: 'reader' },
  { id: 13, slug: 'chiara', name: 'Chiara Romano', about: 'comes back on Sundays.', role: 'reader' },
]

export const AUTHORS = PEOPLE.filter(({ role }) => role === 'author')

export function personById(id: number): Person | undefined {
  return PEOPLE.find(person => person.id === id)
}

export function authorBySlug(slug: string): Person | undefined {
  return AUTHORS.find(author => author.slug === slug)
}
