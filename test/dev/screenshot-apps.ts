/** The made-up apps of the screenshots: as varied as real ones. */
import { type FlatpakApp, xml } from '../sources/flatpak-labels.ts';

export interface ScreenshotApp extends Omit<FlatpakApp, 'icon'> {
  readonly name: string;
  /** SVG of 128 × 128; `undefined` if the app has no icon. */
  readonly icon: string | undefined;
  /** Captions of its screenshots. */
  readonly screenshots: readonly string[];
}

type Outline = 'tile' | 'disc';

/** A shape with a gradient from one colour down to another, and what is drawn on it in white. */
function icon(outline: Outline, from: string, to: string, drawing: string): string {
  const shape =
    outline === 'tile' ? '<rect x="10" y="10" width="108" height="108" rx="26"' : '<circle cx="64" cy="64" r="56"';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="128" height="128" viewBox="0 0 128 128">
<defs><linearGradient id="g" x2="0" y2="1"><stop stop-color="${from}"/><stop offset="1" stop-color="${to}"/></linearGradient></defs>
${shape} fill="${to}" transform="translate(0 3)" opacity=".45"/>${shape} fill="url(#g)"/>
<g fill="none" stroke="#fff" stroke-width="7" stroke-linecap="round" stroke-linejoin="round">${drawing}</g></svg>`;
}

const solid = 'fill="#fff" stroke="none"';
const soft = 'fill="#fff" fill-opacity=".55" stroke="none"';

/** The picture of the index. */
export const LOGO = icon(
  'tile',
  '#2fb7a8',
  '#0b5f6e',
  `<path ${solid} d="M36 54h56l-6 40H42z"/><path d="M50 54a14 18 0 0128 0"/>`,
);

/** Apps with drawn icons. */
const DRAWN: readonly Drawn[] = [
  app(
    'Atlas',
    'Maps that work without a network',
    'Open Cartographers',
    'navigation',
    icon(
      'tile',
      '#5fcf80',
      '#1e8a4c',
      `<path ${soft} d="M34 40l20-8v56l-20 8zM74 40l20-8v56l-20 8z"/><path ${solid} d="M54 32l20 8v56l-20-8z"/>`,
    ),
  ),
  app(
    'Beacon',
    'Find devices on your network and talk to them',
    'The Harbour Project',
    'network',
    icon(
      'disc',
      '#ffb347',
      '#d9541e',
      `<circle ${solid} cx="64" cy="64" r="10"/><path d="M44 84a28 28 0 010-40M84 44a28 28 0 010 40"/>`,
    ),
  ),
  app(
    'Chord',
    'Tune your guitar and learn new chords',
    'Pluck & Strum',
    'music',
    icon(
      'tile',
      '#ff7a9c',
      '#c22a5c',
      `<path d="M54 86V42l34-8v44"/><circle ${solid} cx="44" cy="86" r="11"/><circle ${solid} cx="78" cy="78" r="11"/>`,
    ),
  ),
  app(
    'Codebook',
    'A quiet editor for code and configuration',
    'Plain Text Society',
    'development',
    icon('tile', '#5a6b86', '#26324a', '<path d="M48 46L30 64l18 18M80 46l18 18-18 18M70 38L58 90"/>'),
  ),
  app(
    'Compass',
    'Plan hikes, record tracks and share them',
    'Open Cartographers',
    'sports',
    icon(
      'disc',
      '#56c7e8',
      '#13699e',
      `<circle cx="64" cy="64" r="36"/><path ${solid} d="M82 46L70 70 46 82l12-24z"/>`,
    ),
  ),
  app(
    'Darkroom',
    'Develop raw photos, step by step',
    'Silver Grain',
    'photography',
    icon(
      'tile',
      '#a18cff',
      '#5136c4',
      `<circle cx="64" cy="66" r="24"/><circle ${solid} cx="64" cy="66" r="9"/><path d="M46 38h36"/>`,
    ),
  ),
  app(
    'Dialogue',
    'Chat with friends, end to end encrypted',
    'The Harbour Project',
    'chat',
    icon(
      'disc',
      '#4fd3c4',
      '#0b7d78',
      `<path ${soft} d="M56 52h40v30H84v12L70 82H56z"/><path ${solid} d="M32 36h44v32H54L42 80V68H32z"/>`,
    ),
  ),
  app(
    'Easel',
    'Paint with brushes that feel like brushes',
    'Silver Grain',
    'graphics',
    icon(
      'tile',
      '#ffd45e',
      '#e08a12',
      `<path ${solid} d="M88 32l8 8-36 40-12-12z"/><path ${solid} d="M46 72l12 12c-2 10-14 12-24 10 6-4 4-18 12-22z"/>`,
    ),
  ),
  app(
    'Fathom',
    'Read long articles without distraction',
    'Plain Text Society',
    'news',
    icon(
      'tile',
      '#7ea6ff',
      '#2a52be',
      `<path d="M64 46c-8-6-18-8-30-8v46c12 0 22 2 30 8 8-6 18-8 30-8V38c-12 0-22 2-30 8zM64 46v46"/>`,
    ),
  ),
  app(
    'Gauge',
    'See what your computer is busy with',
    'Workshop Tools',
    'system',
    icon(
      'disc',
      '#8ee06b',
      '#2f8f2c',
      `<path d="M36 80a32 32 0 1156 0M64 68l14-18"/><circle ${solid} cx="64" cy="70" r="7"/>`,
    ),
  ),
  app(
    'Glyph',
    'Browse, compare and install fonts',
    'Type Foundry Cooperative',
    'fonts',
    icon('tile', '#f0f1f3', '#b9bfca', '<path stroke="#2b3240" d="M40 92l24-58 24 58M49 74h30"/>'),
  ),
  app(
    'Harvest',
    'Keep track of your garden through the year',
    'Allotment Society',
    'garden',
    icon(
      'disc',
      '#b6e05a',
      '#5c8f14',
      `<path ${solid} d="M64 66c-4-22 8-32 30-32 0 22-8 34-30 32z"/><path ${soft} d="M60 74c2-16-8-24-26-24 0 18 8 26 26 24z"/><path d="M62 96V66"/>`,
    ),
  ),
  app(
    'Inkwell',
    'Write a journal that stays with you',
    'Plain Text Society',
    'writing',
    icon(
      'tile',
      '#6f7bf7',
      '#2f2a9e',
      `<path ${solid} d="M90 32c-30 2-48 22-50 50l8 4c28-2 44-24 42-54z"/><path stroke="#4a48c0" stroke-width="4" d="M44 84l28-34"/><path d="M36 96l8-12"/>`,
    ),
  ),
  app(
    'Juggler',
    'Sort tasks by what matters today',
    'Small Steps',
    'productivity',
    icon('disc', '#ff9a8b', '#d23b3b', '<path d="M42 66l15 15 30-34"/>'),
  ),
  app(
    'Keyring',
    'Keep passwords and one-time codes safe',
    'Workshop Tools',
    'security',
    icon('tile', '#ffc24a', '#b86e00', '<circle cx="50" cy="54" r="17"/><path d="M62 66l28 28M80 84l8-8"/>'),
  ),
  app(
    'Lantern',
    'Dim the screen when the sun goes down',
    'Small Steps',
    'display',
    icon('disc', '#ffe36e', '#e6a400', `<path ${solid} d="M46 30a36 36 0 1046 46 32 32 0 01-46-46z"/>`),
  ),
  app(
    'Ledger',
    'Household accounts in double entry',
    'Counting House',
    'finance',
    icon('tile', '#43c59e', '#0c6e5a', '<path d="M38 90V66M56 90V48M74 90V58M92 90V36"/>'),
  ),
  app(
    'Marble',
    'A puzzle of rolling and rotating',
    'Rainy Day Games',
    'game',
    icon(
      'disc',
      '#c58bff',
      '#7023c9',
      `<circle ${soft} cx="64" cy="64" r="34"/><path ${solid} d="M40 50a28 28 0 0130-16c-4 14-18 20-30 16z"/>`,
    ),
  ),
  app(
    'Metronome',
    'Keep the beat, from largo to presto',
    'Pluck & Strum',
    'music',
    icon('tile', '#ff8d5c', '#b73a10', '<path d="M52 36h24l14 56H38zM64 76l22-36M43 76h42"/>'),
  ),
  app(
    'Nimbus',
    'Weather for the next hours and days',
    'Open Cartographers',
    'weather',
    icon(
      'tile',
      '#7fd0ff',
      '#2481d6',
      `<circle ${soft} cx="82" cy="50" r="18"/><path ${solid} d="M42 88a16 16 0 01-2-32 22 22 0 0142 2 15 15 0 014 30z"/>`,
    ),
  ),
  app(
    'Orbit',
    'The sky tonight, wherever you are',
    'Night Watch',
    'astronomy',
    icon(
      'disc',
      '#4b5fd1',
      '#161c56',
      `<circle ${solid} cx="64" cy="64" r="14"/><ellipse cx="64" cy="64" rx="42" ry="16" transform="rotate(-28 64 64)"/>`,
    ),
  ),
  app(
    'Palette',
    'Pick colours that go together',
    'Silver Grain',
    'graphics',
    icon(
      'tile',
      '#ff86d0',
      '#b3218a',
      `<circle ${solid} cx="48" cy="50" r="14"/><circle ${soft} cx="80" cy="50" r="14"/><circle ${soft} cx="64" cy="80" r="14"/>`,
    ),
  ),
  app(
    'Quill',
    'Letters and reports, laid out for you',
    'Type Foundry Cooperative',
    'office',
    icon('tile', '#5db0f5', '#1a5fa8', '<path d="M42 32h30l16 16v48H42zM54 60h22M54 76h22"/>'),
  ),
  app(
    'Reel',
    'Cut films on your own machine',
    'Silver Grain',
    'video',
    icon('tile', '#ff6b6b', '#a3162e', `<path ${solid} d="M52 42l36 22-36 22z"/>`),
  ),
  app(
    'Solder',
    'Draw circuits and see them work',
    'Workshop Tools',
    'electronics',
    icon('disc', '#3fbf8f', '#0d5f4c', `<path d="M28 64h16l8-18 14 36 10-18h24"/>`),
  ),
  app(
    'Tempo',
    'Intervals, laps and a gentle alarm',
    'Small Steps',
    'clock',
    icon('disc', '#ff9dbb', '#c9346d', '<circle cx="64" cy="68" r="30"/><path d="M64 68V50M54 26h20"/>'),
  ),
  app(
    'Voyage',
    'Timetables and tickets in one place',
    'Night Watch',
    'travel',
    icon('tile', '#62d2a2', '#147a66', `<path ${solid} d="M34 70l58-34-18 58-14-20z"/>`),
  ),
];

interface Drawn {
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  readonly keyword: string;
  readonly icon: string;
}

function app(name: string, summary: string, developer: string, keyword: string, drawn: string): Drawn {
  return { name, summary, developer, keyword, icon: drawn };
}

/** Categories of freedesktop.org by keyword. */
const CATEGORIES: Readonly<Record<string, string>> = {
  navigation: 'Utility',
  network: 'Network',
  music: 'AudioVideo',
  development: 'Development',
  sports: 'Utility',
  photography: 'Graphics',
  chat: 'Network',
  graphics: 'Graphics',
  news: 'Network',
  system: 'System',
  fonts: 'Graphics',
  garden: 'Education',
  writing: 'Office',
  productivity: 'Office',
  security: 'Utility',
  display: 'Settings',
  finance: 'Office',
  game: 'Game',
  weather: 'Utility',
  astronomy: 'Science',
  office: 'Office',
  video: 'AudioVideo',
  electronics: 'Science',
  clock: 'Utility',
  travel: 'Network',
};
const LICENSES = [
  'GPL-3.0-or-later',
  'MIT',
  'Apache-2.0 AND CC-BY-4.0',
  'LicenseRef-proprietary',
  'LGPL-2.1-or-later',
  'MPL-2.0',
];
const METADATA = [
  '[Context]\nshared=network;ipc;\nsockets=wayland;fallback-x11;pulseaudio;\ndevices=dri;\nfilesystems=xdg-pictures;',
  '[Context]\nsockets=wayland;\ndevices=dri;',
  '',
  '[Context]\nshared=network;ipc;\nsockets=x11;pulseaudio;\ndevices=all;\nfilesystems=host;\n[Session Bus Policy]\norg.freedesktop.Flatpak=talk',
];
const OARS = [
  '<content_rating type="oars-1.1"/>',
  '<content_rating type="oars-1.1"><content_attribute id="social-chat">intense</content_attribute></content_rating>',
  '<content_rating type="oars-1.1"><content_attribute id="violence-fantasy">moderate</content_attribute></content_rating>',
  '',
];
/** Captions of screenshots; their number is that of the pictures an app has at most. */
const CAPTIONS = ['The main window', 'All that you have, at a glance', 'Settings, few and plain', '', 'In the dark'];

/** When the oldest of them was built, in seconds since the epoch, and how much later each next one. */
const BUILT = Date.UTC(2026, 6, 1) / 1000;
const APART = 40 * 3600;

/** Apps without drawings: names that are long, in other scripts, or empty of meaning. */
const OTHERS: readonly Partial<ScreenshotApp & { keyword: string }>[] = [
  { name: 'خط', summary: 'اكتب الرسائل والتقارير بخطوط عربية جميلة', developer: 'جمعية الحروف', keyword: 'office' },
  {
    name: 'מפות',
    summary: 'מפות שעובדות גם בלי רשת, עם מסלולי הליכה ורכיבה',
    developer: 'קרטוגרפים פתוחים',
    keyword: 'navigation',
  },
  { name: 'دفتر یادداشت', summary: 'یادداشت‌های روزانه، فقط برای شما', keyword: 'writing' },
  { name: '将棋の部屋', summary: '詰将棋と対局、棋譜の保存', developer: '雨の日ゲーム', keyword: 'game' },
  {
    name: 'Interactive Differential Equation Solver and Plotter for Students',
    summary:
      'Solve ordinary and partial differential equations step by step, plot the solutions in two and three dimensions, and export them for papers, slides and posters',
    developer: 'The Consortium for Free Mathematical Software in Higher Education and Research',
    keyword: 'garden',
  },
  {
    name: 'Donaudampfschifffahrtsgesellschaftskapitän',
    summary: 'Steer a steamer down the river',
    developer: 'Rainy Day Games',
    keyword: 'game',
  },
  { name: 'org.example.Unnamed', summary: '', developer: '', keyword: 'security' },
  { name: 'x', summary: 'A calculator', developer: 'Nobody in particular', keyword: 'security' },
  {
    name: 'Étude',
    summary: 'Practise scales at the speed that suits you',
    developer: 'Pluck & Strum',
    keyword: 'music',
  },
  { name: 'Zażółć', summary: 'Pisownia i gramatyka', developer: 'Gęśla Jaźń', keyword: 'writing' },
  {
    name: 'Gramophone',
    summary: 'Play records that you own',
    developer: 'Pluck & Strum',
    keyword: 'music',
    endOfLife: 'Chord plays records as well now',
    replacedBy: 'app/org.example.Chord/x86_64/stable',
  },
  {
    name: 'Notepad One',
    summary: 'The first editor of the Plain Text Society',
    developer: 'Plain Text Society',
    keyword: 'development',
    endOfLife: 'It is not maintained any more',
  },
  { name: 'Tangram', summary: 'Seven pieces, a thousand figures', developer: 'Rainy Day Games', keyword: 'game' },
  { name: 'Solitaire Garden', summary: 'Patience, with flowers', developer: 'Rainy Day Games', keyword: 'game' },
  { name: 'Kiln', summary: 'Build, test and sign packages', developer: 'Workshop Tools', keyword: 'development' },
  {
    name: 'Query',
    summary: 'Look into databases and draw what you find',
    developer: 'Workshop Tools',
    keyword: 'development',
  },
  { name: 'Telescope', summary: 'Stack and sharpen photos of the sky', developer: 'Night Watch', keyword: 'astronomy' },
  { name: 'Broadcast', summary: 'Radio stations from everywhere', developer: 'Silver Grain', keyword: 'music' },
  {
    name: 'Spanner',
    summary: 'Settings that have no place of their own',
    developer: 'Small Steps',
    keyword: 'display',
  },
];

const PLATFORMS: readonly Partial<ScreenshotApp>[] = [
  { id: 'org.example.Platform', name: 'Example Platform', summary: 'What apps of Example run on', type: 'runtime' },
  { id: 'org.example.Sdk', name: 'Example SDK', summary: 'What apps of Example are built with', type: 'runtime' },
  { id: 'org.example.Platform.Mini', name: 'org.example.Platform.Mini', summary: '', type: 'runtime' },
  ...[
    ['org.example.Platform.Locale', 'Translations of the Example Platform', 'org.example.Platform'],
    ['org.example.Platform.GL.default', 'Graphics drivers', 'org.example.Platform'],
    ['org.example.Easel.Plugin.Watercolour', 'Watercolour for Easel', 'org.example.Easel'],
    ['org.example.Easel.Plugin.Charcoal', 'Charcoal for Easel', 'org.example.Easel'],
    ['org.example.Sdk.Extension.typescript', 'TypeScript for the Example SDK', 'org.example.Sdk'],
  ].map(([id = '', name = '', extended = '']): Partial<ScreenshotApp> => ({
    id,
    name,
    type: 'runtime',
    metadata: `[ExtensionOf]\nref=runtime/${extended}/x86_64/stable`,
  })),
];

export const SCREENSHOT_APPS: readonly ScreenshotApp[] = [
  ...DRAWN.map(({ keyword, icon: drawing, ...drawn }) => ({ ...drawn, keyword, icon: drawing })),
  ...OTHERS.map((other, place) => ({ ...other, icon: place % 4 === 2 || place > 15 ? undefined : plainIcon(place) })),
  ...PLATFORMS,
].map(fill);

/** Adds what a real app has besides. */
function fill(known: Partial<ScreenshotApp & { keyword: string }>, place: number): ScreenshotApp {
  const { name = '', keyword = '', type = 'app' } = known;
  const id =
    known.id ?? `org.example.${/^[A-Za-z. -]+$/.test(name) ? name.replaceAll(/[^A-Za-z]/g, '') : `App${place}`}`;
  const site = `https://${name.length < 12 && /^[A-Za-z]+$/.test(name) ? name.toLowerCase() : 'apps'}.example.org`;
  const category = CATEGORIES[keyword];
  // In another order than that of the list.
  const built = BUILT + ((place * 37 + 50) % 60) * APART;
  return {
    summary: '',
    developer: '',
    screenshots: type === 'app' && place % 5 !== 4 ? CAPTIONS.slice(0, 1 + ((place + 4) % 5)) : [],
    icon: undefined,
    keywords: keyword === '' ? [] : [keyword],
    timestamp: built,
    metadata: METADATA[place % METADATA.length] ?? '',
    description:
      '<p>It does one thing, and does it well: it opens what you have, shows it as it is, and keeps out of your way. Everything that it stores stays on your machine, in <em>open formats</em> that other programs read as well.</p><p>You can:</p><ul><li>begin at once, without an account</li><li>undo and redo, as far back as you like</li><li>export to <code>PDF</code>, <code>SVG</code> and <code>PNG</code></li></ul>',
    releases: [0, 1, 2]
      .map(
        (back) =>
          `<release version="${4 - back}.${place % 10}.${(place * 3) % 7}" timestamp="${built - back * 60 * 86_400}"><description><p>${back === 0 ? 'A faster start, and two mistakes less:' : 'Small improvements:'}</p><ul><li>large files open in half the time</li><li>the window remembers its size</li></ul></description></release>`,
      )
      .join(''),
    categories: category === undefined ? [] : [category],
    appdata: [
      `<project_license>${LICENSES[place % LICENSES.length]}</project_license>`,
      OARS[place % OARS.length],
      ...[
        ['homepage', ''],
        ['bugtracker', '/issues'],
        ['donation', '/donate'],
        ['vcs-browser', '/source'],
        ['translate', '/translate'],
        ['help', '/help'],
        ['contact', '/contact'],
      ]
        .slice(0, 1 + ((place * 5) % 7))
        .map(([kind, path]) => `<url type="${kind}">${xml(site)}${path}</url>`),
    ].join(''),
    ...known,
    id,
    name,
  };
}

function plainIcon(place: number): string {
  const hue = (place * 67) % 360;
  return icon(
    place % 2 === 0 ? 'tile' : 'disc',
    `hsl(${hue} 70% 62%)`,
    `hsl(${(hue + 25) % 360} 65% 38%)`,
    `<circle ${solid} cx="${44 + (place % 3) * 8}" cy="56" r="14"/><path d="M40 ${84 + (place % 2) * 6}c10-14 36-14 48 0"/><path d="M${76 + (place % 3) * 4} 40l12 12"/>`,
  );
}
