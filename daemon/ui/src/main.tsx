// Start of the page.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { App } from './app';
import { applyTheme, settings } from './lib/settings';
import './styles/base.css';
import './styles/parts.css';
import './styles/pages.css';
import './styles/timeline.css';
import './styles/watch.css';
import './styles/zones.css';

applyTheme(settings.theme());
const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
