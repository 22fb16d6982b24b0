/** The time, reactive, once a second: for count-downs and "since". */

let now = $state(Date.now());

export const clock = {
  get now(): number {
    return now;
  },
  start(): () => void {
    const timer = setInterval(() => {
      now = Date.now();
    }, 1000);
    return () => clearInterval(timer);
  },
};
