import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import manifest from './package.json' with { type: 'json' };

// Where `npm run dev` finds a server.
const server = process.env.NIGHTJAR_SERVER ?? 'http://127.0.0.1:8420';
const wall = fileURLToPath(new URL('../../src-ui/src', import.meta.url));

/** The server gives the page out at `/publish`; the companion holds it at its own root (`--mode app`). */
export default defineConfig(({ mode }) => ({
  base: mode === 'app' ? './' : '/publish/',
  plugins: [tailwindcss(), svelte()],
  define: { __VERSION__: JSON.stringify(manifest.version) },
  build: {
    target: ['es2022', 'safari16'],
    outDir: mode === 'app' ? 'dist-app' : 'dist',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    fs: { allow: ['../..'] },
    proxy: {
      '/api': { target: server, changeOrigin: true },
      '/signal': { target: server, ws: true, changeOrigin: true },
    },
  },
  resolve: {
    alias: { $wall: wall },
    ...(process.env.VITEST ? { conditions: ['browser'] } : {}),
  },
  test: { environment: 'happy-dom', include: ['test/**/*.test.ts'], restoreMocks: true },
}));
