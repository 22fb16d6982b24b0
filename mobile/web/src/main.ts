import { mount } from 'svelte';
import App from './ui/App.svelte';
import './app.css';
import { language } from './i18n/index';
import { Phone } from './phone.svelte';
import { takeInvitation } from './session/invitation';
import { openKeep } from './session/keep';
import { makeKey } from './session/proof';
import { originWires } from './session/wire';
import { settings } from './settings.svelte';

document.documentElement.lang = language;
const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');

const invitation = takeInvitation(location, history);
const keep = openKeep(makeKey);
const computers = await keep.computers().catch(() => []);
// Without a pairing the address may name a room: `?room=hall`, and `&key=…` where the room has one.
const asked = new URLSearchParams(location.search);
const room = asked.get('room');
const key = asked.get('key');
const phone = new Phone(
  { openWire: originWires(location.origin, key), keep, host: location.host, kind: 'web', room },
  invitation,
  computers,
);
// Reloaded, or closed by the system for want of memory: it goes on where it was.
if (settings.publishing && phone.view.paired) phone.start();
Object.assign(globalThis, { __phone: phone });
mount(App, { target, props: { phone } });
