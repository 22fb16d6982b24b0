// npm run dev: the app with the wall reloading as its sources change.

import { npm, run } from './machine.mjs';
import { setUp } from './setup.mjs';

await setUp('desktop');
const config = ['--config', 'src-tauri/tauri.dev.conf.json'];
process.exit(await run(...npm('exec', '--', 'tauri', 'dev', ...config), { input: 'inherit' }));
