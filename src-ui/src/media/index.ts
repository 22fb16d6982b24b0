/** The players, by transport. */
import type { Platform } from '../platform/types';
import { MsePlayer } from './mse';
import type { PlayerFactory } from './player';
import { StillPlayer } from './stills';
import { WhepPlayer } from './whep';

export function playersOf(platform: Platform): PlayerFactory {
  return (transport, onState) => {
    const context = { platform, onState };
    if (transport === 'webrtc') return new WhepPlayer(context);
    if (transport === 'mse') return new MsePlayer(context);
    return new StillPlayer(context);
  };
}
