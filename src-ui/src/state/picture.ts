/** The name of a saved picture. */
import { two } from './format';

/** Such as `Front_door_20261120_145042.jpg`, local time; the name keeps letters of any script. */
export function fileName(camera: string, at: Date): string {
  const day = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
  const time = `${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}`;
  const safe = camera.replace(/[^\p{L}\p{N}_-]+/gu, '_').replace(/^_+|_+$/g, '') || 'camera';
  return `${safe}_${day}_${time}.jpg`;
}
