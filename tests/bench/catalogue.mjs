// A day out of a year of sixteen cameras, from the catalogue of recordings.

import { execFileSync } from 'node:child_process';
import { built } from '../web/stage/programs.mjs';
import { figure } from './figures.mjs';

export async function catalogue({ quick }) {
  const days = quick ? 60 : 365;
  const program = built('nightjar-bench-catalogue');
  const said = execFileSync(program, ['16', String(days)], { encoding: 'utf8' });
  const { segments, fill_s, open_ms, of_one, of_all } = JSON.parse(said);
  const unit = 'ms';
  return [
    {
      title: 'Catalogue of recordings',
      method:
        `${segments} recordings of a quarter of an hour of 16 cameras in ${days} days, written in ` +
        `${fill_s.toFixed(1)} s; then days by chance.`,
      figures: [
        figure({
          id: 'catalogue-day',
          name: 'A day of one camera',
          unit,
          values: of_one,
          goal: 5,
          judge: 'p95',
        }),
        figure({ id: 'catalogue-all', name: 'A day of all cameras', unit, values: of_all }),
        figure({ id: 'catalogue-open', name: 'Opening and checking it', unit, values: [open_ms] }),
      ],
    },
  ];
}
