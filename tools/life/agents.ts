/** The browsers that people read with, as of 2026, with their weights. */

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const WINDOWS = 'Windows NT 10.0; Win64; x64'
const MAC = 'Macintosh; Intel Mac OS X 10_15_7'
const LINUX = 'X11; Linux x86_64'
const ANDROID = 'Linux; Android 10; K'

function chrome(system: string, more = '', version = 150): string {
  const mobile = system === ANDROID ? ' Mobile' : ''
  return `Mozilla/5.0 (${system}) ${WEBKIT} Chrome/${version}.0.0.0${mobile} Safari/537.36${more}`
}

function firefox(system: string, engine = '20100101'): string {
  return `Mozilla/5.0 (${system}; rv:152.0) Gecko/${engine} Firefox/152.0`
}

function apple(device: string, more: string): string {
  return `Mozilla/5.0 (${device}) AppleWebKit/605.1.15 (KHTML, like Gecko) ${more}`
}

const IPHONE = 'iPhone; CPU iPhone OS 18_7 like Mac OS X'
const SAFARI = 'Version/26.4 Mobile/15E148 Safari/604.1'

export const BROWSERS: readonly (readonly [weight: number, agent: string])[] = [
  [20, chrome(WINDOWS)],
  [4, chrome(WINDOWS, '', 147)],
  [8, chrome(MAC)],
  [2, chrome(LINUX)],
  [1, chrome('X11; CrOS x86_64 14541.0.0')],
  [14, chrome(ANDROID)],
  [3, chrome('Linux; Android 10; K', '', 146)],
  [5, chrome(WINDOWS, ' Edg/150.0.0.0')],
  [2, chrome(WINDOWS, ' OPR/134.0.0.0')],
  [1, chrome(ANDROID, ' OPR/95.0.0.0')],
  [4, `Mozilla/5.0 (${ANDROID}) ${WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36`],
  [16, apple(IPHONE, SAFARI)],
  [9, apple(MAC, 'Version/26.4 Safari/605.1.15')],
  [2, apple('iPad; CPU OS 18_7 like Mac OS X', SAFARI)],
  [2, apple(IPHONE, 'CriOS/150.0.7500.50 Mobile/15E148 Safari/604.1')],
  [1, apple(IPHONE, 'GSA/410.0.900000000 Mobile/15E148 Safari/604.1')],
  [1, apple(IPHONE, 'Version/26.4 Mobile/15E148 DuckDuckGo/26 Safari/605.1.15')],
  [
    1,
    apple(
      IPHONE,
      'Mobile/22H20 Instagram 420.0.0.20.80 (iPhone15,2; iOS 26_4; en_GB; en; scale=3.00; 1179x2556)',
    ),
  ],
  [7, firefox(WINDOWS)],
  [5, firefox(LINUX)],
  [2, firefox('Macintosh; Intel Mac OS X 10.15')],
  [3, firefox('Android 15; Mobile', '152.0')],
  [0.3, `Mozilla/5.0 (SMART-TV; LINUX; Tizen 9.0) ${WEBKIT} 120.0.6099.5/9.0 TV Safari/537.36`],
  [
    0.2,
    'Mozilla/5.0 (PlayStation; PlayStation 5/10.01) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15',
  ],
  [
    0.2,
    `Mozilla/5.0 (X11; Linux x86_64; Quest 3) ${WEBKIT} OculusBrowser/40.2.0 Chrome/138.0.0.0 VR Safari/537.36`,
  ],
]
