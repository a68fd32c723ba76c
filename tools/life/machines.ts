/** The machines that read, with the networks that they read from. */

export interface MachineGroup {
  /** As the service names it. */
  purpose: string
  /** Among the groups of its list. */
  weight: number
  /** `asked`: what people read, when they read it. `same`: always the same post. */
  reads: 'any' | 'newest' | 'same' | 'asked'
  /** Posts in a row, on average. */
  pages: number
  machines: readonly Machine[]
}

/** The network is the first three quarters of an IPv4 address. `HEAD`: it fetches no page. */
export type Machine = readonly [weight: number, network: string, agent: string, method?: 'HEAD']

const KHTML = 'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko;'

/** What people ask an assistant to read, or what they send to others, who are shown a preview. */
export const ASKED: readonly MachineGroup[] = [
  {
    purpose: 'ai_answer',
    weight: 8,
    reads: 'asked',
    pages: 1,
    machines: [
      [10, '23.98.142', `${KHTML} compatible; ChatGPT-User/1.0; +https://openai.com/bot)`],
      [4, '3.224.62', `${KHTML} compatible; Perplexity-User/1.0; +https://perplexity.ai/perplexity-user)`],
      [3, '216.73.216', `${KHTML} compatible; Claude-User/1.0; +Claude-User@anthropic.com)`],
      [1, '51.68.10', `${KHTML} compatible; MistralAI-User/1.0; +https://docs.mistral.ai/robots)`],
      [1, '40.88.21', 'DuckAssistBot/1.2; (+http://duckduckgo.com/duckassistbot.html)'],
    ],
  },
  {
    purpose: 'preview',
    weight: 5,
    reads: 'asked',
    pages: 1,
    machines: [
      [5, '69.171.249', 'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)'],
      [4, '195.201.20', 'Mastodon/4.5.3 (http.rb/5.3.1; +https://social.example/) Bot'],
      [3, '3.224.62', 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)'],
      [3, '149.154.161', 'TelegramBot (like TwitterBot)'],
      [2, '35.174.20', 'Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)'],
      [2, '69.171.249', 'WhatsApp/2.2610.2 W'],
      [
        1,
        '108.174.5',
        'LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)',
      ],
    ],
  },
]

/** Day and night, whatever people do. */
export const UNASKED: readonly MachineGroup[] = [
  {
    purpose: 'ai_training',
    weight: 24,
    reads: 'any',
    pages: 6,
    machines: [
      [10, '20.171.207', `${KHTML} compatible; GPTBot/1.3; +https://openai.com/gptbot)`],
      [9, '216.73.216', `${KHTML} compatible; ClaudeBot/1.0; +claudebot@anthropic.com)`],
      [
        5,
        '57.141.0',
        'meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)',
      ],
      [
        4,
        '47.128.20',
        `Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)`,
      ],
      [
        3,
        '44.221.181',
        `${KHTML} compatible; Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot) Chrome/119.0.6045.214 Safari/537.36`,
      ],
      [2, '18.97.9', 'CCBot/2.0 (https://commoncrawl.org/faq/)'],
    ],
  },
  {
    purpose: 'search',
    weight: 40,
    reads: 'any',
    pages: 3,
    machines: [
      [
        12,
        '66.249.66',
        `${KHTML} compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/149.0.7400.60 Safari/537.36`,
      ],
      [
        7,
        '40.77.167',
        `${KHTML} compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36`,
      ],
      [
        3,
        '17.241.75',
        'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)',
      ],
      [3, '20.42.10', `${KHTML} compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot)`],
      [2, '3.224.62', `${KHTML} compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)`],
      [2, '5.255.231', 'Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)'],
      [
        1,
        '77.75.76',
        'Mozilla/5.0 (compatible; SeznamBot/4.0; +https://o-seznam.cz/napoveda/vyhledavani/en/seznambot-crawler/)',
      ],
      [1, '5.102.173', 'Mozilla/5.0 (compatible; MojeekBot/0.11; +https://www.mojeek.com/bot.html)'],
      [
        1,
        '114.119.132',
        'Mozilla/5.0 (Linux; Android 7.0;) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)',
      ],
    ],
  },
  {
    purpose: 'seo',
    weight: 12,
    reads: 'any',
    pages: 5,
    machines: [
      [5, '54.36.148', 'Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)'],
      [4, '85.208.96', 'Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)'],
      [2, '176.9.4', 'Mozilla/5.0 (compatible; MJ12bot/v2.0.4; http://mj12bot.com/)'],
      [
        2,
        '136.243.228',
        'Mozilla/5.0 (compatible; DataForSeoBot/1.0; +https://dataforseo.com/dataforseo-bot)',
      ],
    ],
  },
  {
    purpose: 'feed',
    weight: 36,
    reads: 'newest',
    pages: 1,
    machines: [
      [5, '8.29.198', 'Feedly/1.0 (+https://feedly.com/poller.html; 42 subscribers)'],
      [3, '209.97.130', 'Mozilla/5.0 (compatible; inoreader.com; 17 subscribers)'],
      [3, '138.201.20', 'FreshRSS/1.28.0 (Linux; https://freshrss.org)'],
      [2, '95.217.74', 'Mozilla/5.0 (compatible; Miniflux/2.2.14; +https://miniflux.app)'],
      [2, '159.203.40', 'NewsBlur Feed Fetcher - 9 subscribers - https://www.newsblur.com/site/5/'],
    ],
  },
  {
    purpose: 'monitor',
    weight: 40,
    reads: 'same',
    pages: 1,
    machines: [
      [6, '216.144.248', 'Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)', 'HEAD'],
      [4, '94.130.53', 'Uptime-Kuma/2.1.0'],
      [2, '178.151.245', 'Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)'],
    ],
  },
  {
    purpose: 'tool',
    weight: 5,
    reads: 'any',
    pages: 2,
    machines: [
      [3, '116.202.30', 'curl/8.18.0'],
      [3, '34.138.10', 'python-requests/2.32.5'],
      [2, '54.236.1', 'Go-http-client/2.0'],
    ],
  },
  {
    purpose: 'other',
    weight: 3,
    reads: 'any',
    pages: 2,
    machines: [
      [
        2,
        '199.47.82',
        'Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)',
      ],
      [1, '91.121.80', 'Mozilla/5.0 (compatible; small-hours-crawler/0.3; +https://crawler.example/)'],
    ],
  },
]
