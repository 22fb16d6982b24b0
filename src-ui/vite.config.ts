import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';
import manifest from './package.json' with { type: 'json' };

// Where `npm run dev` finds a server; without one, open the page with `?fake=4`.
const server = process.env.NIGHTJAR_SERVER ?? 'http://127.0.0.1:8420';

export default defineConfig({
  plugins: [tailwindcss(), svelte()],
  define: { __VERSION__: JSON.stringify(manifest.version) },
  build: {
    target: ['es2022', 'safari16'],
    outDir: 'dist',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': { target: server, ws: true, changeOrigin: true },
      '/login': { target: server, changeOrigin: true },
    },
  },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  test: { environment: 'happy-dom', include: ['test/**/*.test.ts'], restoreMocks: true },
});
