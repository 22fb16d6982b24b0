/**
 * Where each picture stands on the wall. Pure: numbers in, cells out.
 * Invariant: cells never overlap, and a picture is never cropped to fit.
 */

export type Layout = 'auto' | 'focus' | 1 | 4 | 9 | 16 | 25 | 36 | 64;

export const LAYOUTS: readonly Layout[] = ['auto', 1, 4, 9, 16, 25, 36, 64, 'focus'];

export interface Cell {
  col: number;
  row: number;
  span: number;
}

export interface Plan {
  cols: number;
  rows: number;
  cells: Cell[];
  /** Height of a row where the wall scrolls because pictures would be too small; else null. */
  rowHeight: number | null;
}

export interface Area {
  width: number;
  height: number;
}

export const GAP = 2;
const ASPECT = 16 / 9;
/** Below this a picture tells nobody anything: the wall scrolls instead. */
const MIN_PICTURE_WIDTH = 120;
/** Narrower than this, and upright, it is a phone: a wall that scrolls beats stamps. */
const PHONE_WIDTH = 600;
/** Largest edge of the "one big" layout: 1 big and 15 small. */
const MAX_FOCUS_EDGE = 8;

/** Width of a 16:9 picture in a grid of `cols` × `rows`. */
function pictureWidth(area: Area, cols: number, rows: number): number {
  const cellWidth = (area.width - GAP * (cols - 1)) / cols;
  const cellHeight = (area.height - GAP * (rows - 1)) / rows;
  return Math.min(cellWidth, cellHeight * ASPECT);
}

/** The grid for `count` pictures that makes them largest; of equals, the one with fewest holes. */
export function bestGrid(count: number, area: Area): { cols: number; rows: number } {
  const n = Math.max(1, Math.floor(count));
  let best = { cols: 1, rows: n };
  let bestWidth = pictureWidth(area, 1, n);
  for (let cols = 2; cols <= n; cols += 1) {
    const rows = Math.ceil(n / cols);
    const width = pictureWidth(area, cols, rows);
    const larger = width > bestWidth + 0.5;
    const tidier = Math.abs(width - bestWidth) <= 0.5 && cols * rows < best.cols * best.rows;
    if (larger || tidier) {
      best = { cols, rows };
      bestWidth = width;
    }
  }
  return best;
}

/** How many pictures one page of a layout holds. */
export function pageSize(layout: Layout, cameras: number): number {
  if (layout === 'auto') return Math.max(1, cameras);
  if (layout === 'focus') return Math.max(1, Math.min(cameras, 2 * MAX_FOCUS_EDGE));
  return layout;
}

export function pageCount(layout: Layout, cameras: number): number {
  return Math.max(1, Math.ceil(cameras / pageSize(layout, cameras)));
}

/** The cells of one page that shows `count` pictures. */
export function plan(layout: Layout, count: number, area: Area): Plan {
  if (layout === 'focus' && count > 1) return focusPlan(count, area);
  const slots = layout === 'auto' || layout === 'focus' ? Math.max(1, count) : layout;
  let { cols, rows } = bestGrid(slots, area);
  let rowHeight: number | null = null;
  const width = pictureWidth(area, cols, rows);
  const scrollCols =
    layout === 'auto' && area.width < PHONE_WIDTH && area.height > area.width
      ? phoneColumns(slots, width / area.width)
      : width < MIN_PICTURE_WIDTH
        ? Math.max(1, Math.floor((area.width + GAP) / (MIN_PICTURE_WIDTH + GAP)))
        : null;
  if (scrollCols !== null) {
    cols = scrollCols;
    rows = Math.ceil(slots / cols);
    rowHeight = (area.width - GAP * (cols - 1)) / cols / ASPECT;
  }
  const cells = Array.from({ length: count }, (_, index) => ({
    col: index % cols,
    row: Math.floor(index / cols),
    span: 1,
  }));
  return { cols, rows, cells, rowHeight };
}

/** Columns that scroll on an upright phone; null where the whole wall fits large enough. */
function phoneColumns(count: number, share: number): number | null {
  if (count <= 6) return share < 0.75 ? 1 : null;
  return share < 0.45 ? 2 : null;
}

/** One big picture at the upper left, the others along its right and lower edge. */
function focusPlan(count: number, area: Area): Plan {
  const edge = Math.min(MAX_FOCUS_EDGE, Math.max(3, Math.ceil(count / 2)));
  const portrait = area.height > area.width;
  const cells: Cell[] = [];
  if (portrait) {
    // Upright screens: the big one across, the others in rows of three under it.
    const cols = 3;
    cells.push({ col: 0, row: 0, span: cols });
    for (let i = 0; i < count - 1; i += 1) {
      cells.push({ col: i % cols, row: cols + Math.floor(i / cols), span: 1 });
    }
    const rows = cols + Math.ceil((count - 1) / cols);
    const cellWidth = (area.width - GAP * (cols - 1)) / cols;
    return { cols, rows, cells, rowHeight: cellWidth / ASPECT };
  }
  const big = edge - 1;
  cells.push({ col: 0, row: 0, span: big });
  for (let row = 0; row < edge && cells.length < count; row += 1) {
    cells.push({ col: big, row, span: 1 });
  }
  for (let col = 0; col < big && cells.length < count; col += 1) {
    cells.push({ col, row: big, span: 1 });
  }
  return { cols: edge, rows: edge, cells, rowHeight: null };
}

export type Direction = 'left' | 'right' | 'up' | 'down';

/** The cell next to `from` in a direction, or null at the edge. */
export function neighbour(
  cells: readonly Cell[],
  from: number,
  direction: Direction,
): number | null {
  const start = cells[from];
  if (!start) return null;
  const centre = (cell: Cell) => ({ x: cell.col + cell.span / 2, y: cell.row + cell.span / 2 });
  const at = centre(start);
  const horizontal = direction === 'left' || direction === 'right';
  const sign = direction === 'left' || direction === 'up' ? -1 : 1;
  let best: number | null = null;
  let bestScore = Number.POSITIVE_INFINITY;
  cells.forEach((cell, index) => {
    if (index === from) return;
    const other = centre(cell);
    const ahead = (horizontal ? other.x - at.x : other.y - at.y) * sign;
    const reach = (start.span + cell.span) / 2;
    if (ahead < reach - 0.01) return;
    const aside = Math.abs(horizontal ? other.y - at.y : other.x - at.x);
    const score = ahead + Math.max(0, aside - (reach - 0.51)) * 4 + aside * 0.01;
    if (score < bestScore) {
      best = index;
      bestScore = score;
    }
  });
  return best;
}

/** The saved order with the cameras that exist: unknown ones dropped, new ones at the end. */
export function arrange(order: readonly string[], existing: readonly string[]): string[] {
  const alive = new Set(existing);
  const known = order.filter((id, index) => alive.has(id) && order.indexOf(id) === index);
  const placed = new Set(known);
  return [...known, ...existing.filter((id) => !placed.has(id))];
}

/** `order` with `id` moved to where `target` stands. */
export function moveTo(order: readonly string[], id: string, target: string): string[] {
  const from = order.indexOf(id);
  const to = order.indexOf(target);
  if (from < 0 || to < 0 || from === to) return [...order];
  const next = order.filter((other) => other !== id);
  next.splice(to, 0, id);
  return next;
}
