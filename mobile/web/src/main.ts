import { mount } from 'svelte';
import App from './ui/App.svelte';
import './app.css';
import { language } from './i18n/index';
import { Phone, type PhoneParts } from './phone.svelte';
import { takeInvitation } from './session/invitation';
import { type Keep, openKeep, type Paired } from './session/keep';
import { makeKey } from './session/proof';
import { originWires } from './session/wire';
import { settings } from './settings.svelte';

document.documentElement.lang = language;
const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');

// Before anything else: nobody shall read it over a shoulder.
const invitation = takeInvitation(location, history);
const keep = openKeep(makeKey);
const computers = await keep.computers().catch(() => []);
const phone = import.meta.env.MODE === 'app' ? await inApp(keep, computers) : inBrowser();
// Reloaded, or closed by the system for want of memory: it goes on where it was.
if (settings.publishing && phone.view.paired && !phone.view.invited) phone.start();
Object.assign(globalThis, { __phone: phone });
mount(App, { target, props: { phone } });

/** The page came from the computer itself. */
function inBrowser(): Phone {
  const { origin } = location;
  // Without a pairing the address may name a room: `?room=hall`, and `&key=…` where the room has one.
  const asked = new URLSearchParams(location.search);
  const openWire = originWires(origin, asked.get('key'));
  const room = asked.get('room');
  const parts: PhoneParts = { openWire, keep, origin, kind: 'web', room, scan: null };
  return new Phone(parts, invitation, computers);
}

/** The page is part of the app, which knows the computer by what was scanned. */
async function inApp(keep: Keep, computers: Paired[]): Promise<Phone> {
  const { openInApp } = await import('./app');
  return openInApp(keep, computers);
}
