import { describe, expect, test } from 'vitest';
import {
  arrange,
  bestGrid,
  LAYOUTS,
  moveTo,
  neighbour,
  pageCount,
  plan,
} from '../src/state/layout';

const screen = { width: 1920, height: 1080 };
const phone = { width: 360, height: 640 };

describe('the automatic grid', () => {
  test('makes pictures as large as the window allows', () => {
    expect(bestGrid(1, screen)).toEqual({ cols: 1, rows: 1 });
    expect(bestGrid(4, screen)).toEqual({ cols: 2, rows: 2 });
    expect(bestGrid(16, screen)).toEqual({ cols: 4, rows: 4 });
    expect(bestGrid(3, { width: 3000, height: 600 })).toEqual({ cols: 3, rows: 1 });
    expect(bestGrid(3, phone)).toEqual({ cols: 1, rows: 3 });
  });

  test('is never beaten by another grid', () => {
    const size = (cols: number, rows: number, area: typeof screen) =>
      Math.min(
        (area.width - 2 * (cols - 1)) / cols,
        (((area.height - 2 * (rows - 1)) / rows) * 16) / 9,
      );
    for (const area of [
      screen,
      phone,
      { width: 3840, height: 2160 },
      { width: 1000, height: 1000 },
    ]) {
      for (let n = 1; n <= 64; n += 1) {
        const best = bestGrid(n, area);
        expect(best.cols * best.rows).toBeGreaterThanOrEqual(n);
        for (let cols = 1; cols <= n; cols += 1) {
          expect(size(best.cols, best.rows, area)).toBeGreaterThan(
            size(cols, Math.ceil(n / cols), area) - 1,
          );
        }
      }
    }
  });
});

describe('a page', () => {
  test('gives every picture a cell of its own inside the grid', () => {
    for (const area of [screen, phone]) {
      for (const layout of LAYOUTS) {
        const most = typeof layout === 'number' ? layout : 16;
        for (let count = 1; count <= most; count += 1) {
          const { cols, rows, cells } = plan(layout, count, area);
          expect(cells).toHaveLength(count);
          const taken = new Set<string>();
          for (const { col, row, span } of cells) {
            for (let x = col; x < col + span; x += 1) {
              for (let y = row; y < row + span; y += 1) {
                expect(x < cols && y < rows).toBe(true);
                expect(taken.has(`${x}/${y}`)).toBe(false);
                taken.add(`${x}/${y}`);
              }
            }
          }
        }
      }
    }
  });

  test('keeps the chosen grid although it has holes', () => {
    expect(plan(9, 5, screen)).toMatchObject({ cols: 3, rows: 3 });
    expect(pageCount(9, 20)).toBe(3);
    expect(pageCount('auto', 64)).toBe(1);
  });

  test('shows one big and the others beside it', () => {
    const { cols, cells } = plan('focus', 6, screen);
    expect(cols).toBe(3);
    expect(cells.map((cell) => cell.span)).toEqual([2, 1, 1, 1, 1, 1]);
  });

  test('scrolls rather than show stamps', () => {
    expect(plan('auto', 64, phone).rowHeight).toBeGreaterThan(60);
    expect(plan('auto', 4, phone).rowHeight).toBeNull();
  });
});

describe('moving about', () => {
  const { cells } = plan(9, 9, screen);
  test('arrows go to the neighbour and stop at the edge', () => {
    expect(neighbour(cells, 4, 'left')).toBe(3);
    expect(neighbour(cells, 4, 'right')).toBe(5);
    expect(neighbour(cells, 4, 'up')).toBe(1);
    expect(neighbour(cells, 4, 'down')).toBe(7);
    expect(neighbour(cells, 0, 'left')).toBeNull();
    expect(neighbour(cells, 8, 'down')).toBeNull();
  });

  test('from the big picture every edge is reached', () => {
    const focus = plan('focus', 6, screen).cells;
    expect(neighbour(focus, 0, 'right')).not.toBeNull();
    expect(neighbour(focus, 0, 'down')).not.toBeNull();
    expect(neighbour(focus, 1, 'left')).toBe(0);
  });

  test('the order survives cameras that go and come', () => {
    expect(arrange(['c', 'gone', 'a', 'c'], ['a', 'b', 'c'])).toEqual(['c', 'a', 'b']);
    expect(moveTo(['a', 'b', 'c', 'd'], 'a', 'c')).toEqual(['b', 'c', 'a', 'd']);
    expect(moveTo(['a', 'b', 'c', 'd'], 'd', 'b')).toEqual(['a', 'd', 'b', 'c']);
    expect(moveTo(['a', 'b'], 'a', 'x')).toEqual(['a', 'b']);
  });
});
