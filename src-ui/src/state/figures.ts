/** The figures of a tile's overlay, a label and a value each. Pure. */
import type { Messages } from '../i18n/en';
import type { ViewerReport } from '../media/viewer';
import type { Camera } from '../platform/types';
import { bitrate, codecName } from './format';

export function figures(report: ViewerReport, camera: Camera, m: Messages): [string, string][] {
  const none = m.stats.none;
  const ms = (value: number | null) => (value === null ? none : m.stats.ms(value));
  const track = camera.tracks.find((one) => one.kind === 'video');
  const { viewer_faults: faults = 0, degraded_viewers: degraded = 0 } = camera.stats;
  const trouble: [string, string][] =
    faults > 0 ? [[m.stats.faults, m.stats.faultsOf(faults, degraded)]] : [];
  return [
    [
      m.stats.transport,
      report.transport === null
        ? none
        : `${m.transport[report.transport]} · ${m.stats[report.stream]}`,
    ],
    [m.stats.codec, track ? codecName(track.codec) : (report.codec ?? none)],
    [m.stats.size, report.width > 0 ? `${report.width}×${report.height}` : none],
    [m.stats.fps, m.units.fps(report.fps.toFixed(1))],
    [m.stats.bitrate, bitrate(report.bitrate, m)],
    [m.stats.latency, ms(report.latencyMs)],
    [m.stats.buffer, ms(report.bufferMs)],
    // Two ways to get lost: from the camera to Nightjar, and from there to this page.
    [m.stats.lost, `${camera.stats.lost} · ${report.lost ?? none}`],
    [m.stats.dropped, report.dropped === null ? none : String(report.dropped)],
    [m.stats.first, ms(report.firstFrameMs)],
    [
      m.stats.source,
      `${m.units.fps(camera.stats.fps.toFixed(1))} · ${bitrate(camera.stats.bitrate, m)}`,
    ],
    [
      m.stats.arrival,
      `${camera.stats.buffer_pct} % · ${m.stats.ms(Math.round(camera.stats.jitter_ms))}`,
    ],
    ...trouble,
  ];
}
