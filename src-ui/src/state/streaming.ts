/** A camera's own ways to connect, as a form has them, and what of it is to be told to the server. Pure. */
import type { Camera, CameraPatch, CameraSpec } from '../platform/types';

/** What is null is as for all cameras. */
export interface StreamForm {
  /** For each step of connecting, seconds. */
  patience: number | null;
  /** Between two keep-alives, seconds. */
  keepAlive: number | null;
  again: 'default' | 'yes' | 'no';
  /** In a row; 0 without end. */
  attempts: number | null;
  /** The second wait, seconds. */
  delay: number | null;
}

type Own = Pick<
  CameraSpec,
  | 'tcp_timeout'
  | 'keepalive_timeout'
  | 'auto_reconnect'
  | 'max_reconnect_attempts'
  | 'reconnect_delay_seconds'
>;

/** The form of a camera, or of one that is to be added. */
export function streamForm(camera: Camera | null): StreamForm {
  const { tcp_timeout = null, auto_reconnect = null } = camera ?? {};
  return {
    patience: tcp_timeout === null ? null : tcp_timeout / 1000,
    keepAlive: camera?.keepalive_timeout ?? null,
    again: auto_reconnect === null ? 'default' : auto_reconnect ? 'yes' : 'no',
    attempts: camera?.max_reconnect_attempts ?? null,
    delay: camera?.reconnect_delay_seconds ?? null,
  };
}

function told({ patience, keepAlive, again, attempts, delay }: StreamForm): Required<Own> {
  return {
    // A field that was emptied has no value at all.
    tcp_timeout: patience == null ? null : Math.round(patience * 1000),
    keepalive_timeout: keepAlive ?? null,
    auto_reconnect: again === 'default' ? null : again === 'yes',
    max_reconnect_attempts: attempts ?? null,
    reconnect_delay_seconds: delay ?? null,
  };
}

/** For a camera that is added: what is as for all is left out. */
export function streamSpec(form: StreamForm): Partial<CameraSpec> {
  return Object.fromEntries(Object.entries(told(form)).filter(([, value]) => value !== null));
}

/** For one that is changed: only what is another; null goes back to what holds for all. */
export function streamPatch(form: StreamForm, before: StreamForm): Partial<CameraPatch> {
  const was: Record<string, unknown> = told(before);
  return Object.fromEntries(
    Object.entries(told(form)).filter(([key, value]) => value !== was[key]),
  );
}
