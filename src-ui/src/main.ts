import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { detect } from './media/capability';
import { playersOf } from './media/index';
import { exposeWindow } from './media/report';
import { startViewerClock } from './media/viewer';
import { choosePlatform } from './platform/index';
import { Fleet } from './state/fleet.svelte';

const platform = await choosePlatform();
const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');
startViewerClock();
exposeWindow();
mount(App, {
  target,
  props: {
    page: {
      platform,
      fleet: new Fleet(platform),
      capabilities: detect(),
      players: playersOf(platform),
    },
  },
});
