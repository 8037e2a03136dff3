// Build of the page: one hashed bundle, each text file with a gzip copy beside it for the daemon to serve as it is.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/** Smaller files gain nothing from a second copy. */
const MIN_BYTES = 1024;

function gzipCopies(): Plugin {
  const visit = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) {
        visit(path);
      } else if (/\.(js|css|html|svg)$/.test(name)) {
        const data = readFileSync(path);
        if (data.length >= MIN_BYTES) writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
      }
    }
  };
  return {
    name: 'gzip-copies',
    apply: 'build',
    writeBundle(options) {
      visit(options.dir ?? 'dist');
    },
  };
}

export default defineConfig({
  plugins: [react(), gzipCopies()],
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    proxy: { '/api': { target: process.env['GTV_EDGE_URL'] ?? 'http://127.0.0.1:8080', ws: true } },
  },
});
