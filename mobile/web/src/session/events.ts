/** What can happen to a phone's session, and what it can want done. Shapes only. */
import type {
  Candidate,
  ControlValue,
  FromPeer,
  IceServer,
  Message,
  ToPhone,
  Welcome,
} from '../bindings/signaling';
import type { Way } from './dialling';
import type { Report } from './health';

/** A message of the computer, or the command of the older systems. */
export type Heard = Message<ToPhone> | { command: string; type?: undefined; gen?: number | null };

export type CaptureState = 'off' | 'opening' | 'live' | 'muted' | 'ended' | 'refused';

/** Why the session is over until a person does something. */
export type End =
  | 'stopped'
  | 'unpaired'
  | 'rejected'
  | 'revoked'
  | 'replaced'
  | 'impostor'
  | 'forbidden';

export type Phase =
  | 'idle'
  | 'signaling'
  | 'auth'
  | 'ready'
  | 'offering'
  | 'connected'
  | 'degraded'
  | 'recovering'
  | 'paused'
  | 'closed';

/** What a phone tells of itself. */
export interface Self {
  net: string | null;
  battery: number | null;
  charging: boolean | null;
  hot: boolean;
  thrift: number;
  orientation: number | null;
}

export type Input =
  /** `ask`: the computer is asked first, the camera after that. */
  | { is: 'start'; ask: boolean }
  | { is: 'stop' }
  | { is: 'tick' }
  | { is: 'link_open'; dial: number }
  | { is: 'link_closed'; dial: number; code: number | null }
  | { is: 'heard'; dial: number; message: Heard }
  /** The computer is not the one whose code was scanned, or the phone has nothing to show it. */
  | { is: 'no_proof'; dial: number; end: End }
  /** Somebody else answers where the computer was. Nothing was said to it. */
  | { is: 'stranger'; dial: number }
  /** The computer lets anybody into this room. */
  | { is: 'admitted'; dial: number; room: string }
  | { is: 'offer'; gen: number; neg: number; sdp: string }
  | { is: 'candidate'; gen: number; candidate: Candidate | null }
  | { is: 'connection'; gen: number; state: RTCPeerConnectionState }
  | { is: 'peer_failed'; gen: number }
  | { is: 'capture'; state: CaptureState; sound: boolean }
  | { is: 'report'; gen: number; report: Report }
  | { is: 'visible'; on: boolean }
  | { is: 'user_pause'; on: boolean }
  /** What is sent has another shape now: sound where there was none. */
  | { is: 'reshape' }
  /** The network came (back), or is another one now. */
  | { is: 'online' }
  | { is: 'self'; self: Self };

/** Why a connection is built. */
export type Reason = 'start' | 'recover' | 'ice_restart';

export type Action =
  | { do: 'dial'; dial: number; way: Way }
  | { do: 'hang_up'; dial: number }
  | { do: 'send'; message: Message<FromPeer> }
  /** Answer the welcome: with the key where the phone is known, else with the token. */
  | { do: 'prove'; dial: number; welcome: Welcome }
  /** The pairing stands: keep it. */
  | { do: 'paired'; dial: number; device: string; relay: string; nonce: string }
  /** Close the old connection, build one, offer. With `capture`, the camera is opened anew too. */
  | { do: 'build'; gen: number; neg: number; ice: IceServer[]; capture: boolean }
  | { do: 'restart_ice'; gen: number; neg: number; ice: IceServer[] }
  | { do: 'accept'; gen: number; sdp: string }
  | { do: 'add_candidate'; gen: number; candidate: Candidate | null }
  | { do: 'tear_down' }
  | { do: 'open_capture' }
  | { do: 'close_capture' }
  /** Wake an encoder that sleeps. */
  | { do: 'nudge'; gen: number }
  | { do: 'control'; op: string; value: ControlValue | null };
