/** The made-up apps of the screenshots, each with an icon drawn as SVG. */

export interface ScreenshotApp {
  readonly id: string;
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  readonly keywords: readonly string[];
  /** Of 128 × 128. */
  readonly icon: string;
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

export const SCREENSHOT_APPS: readonly ScreenshotApp[] = [
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

function app(name: string, summary: string, developer: string, keyword: string, drawn: string): ScreenshotApp {
  return { id: `org.example.${name}`, name, summary, developer, keywords: [keyword], icon: drawn };
}
