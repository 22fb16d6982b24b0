// A phone: a page of a touch screen with a camera that Chromium makes up.

import { PATIENCE_MS } from './browser.mjs';

const SCREEN = { width: 390, height: 844 };

export class Phone {
  /** Console errors, uncaught errors and violations of the page's policy. */
  trouble = [];
  page = null;
  #expected;

  /** What a browser is told to be a phone's. */
  static kind(locale = 'en-GB') {
    return {
      viewport: SCREEN,
      deviceScaleFactor: 2,
      isMobile: true,
      hasTouch: true,
      locale,
      permissions: ['camera', 'microphone'],
      ignoreHTTPSErrors: true,
    };
  }

  static async hold(browser, { expected = [], locale = 'en-GB', colorScheme = 'dark' } = {}) {
    const context = await browser.newContext({ ...Phone.kind(locale), colorScheme });
    return Phone.in(context, { expected });
  }

  /** In a browser of its own. */
  static async in(context, { expected = [], as: phone = new Phone() } = {}) {
    phone.#expected = expected;
    phone.context = context;
    phone.context.setDefaultTimeout(PATIENCE_MS);
    await phone.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI}`);
      });
    });
    return phone;
  }

  /** Opens the page at this address. */
  async open(url) {
    this.page = await this.context.newPage();
    this.page.on('console', (message) => {
      if (message.type() === 'error') this.#note(`${message.text()} ${message.location().url}`);
    });
    this.page.on('pageerror', (error) => this.#note(`uncaught: ${error.stack ?? error}`));
    await this.page.goto(url);
    return this;
  }

  #note(text) {
    if (!this.#expected.some((pattern) => pattern.test(text))) this.trouble.push(`phone: ${text}`);
  }

  start() {
    return this.page.getByRole('button', { name: /^(Start the camera|Add this phone)$/ }).click();
  }

  /** What its session says of itself. */
  view() {
    return this.page.evaluate(() => {
      const { phase, gen, linked, capture, paused, end, report } = window.__phone.view;
      return { phase, gen, linked, capture, paused, end, report };
    });
  }

  /** Waits until the session is in this phase. */
  async until(phase, gen = null) {
    try {
      await this.page.waitForFunction(
        ([wanted, number]) => {
          // A page that was just reloaded has no phone yet.
          const view = window.__phone?.view;
          return view?.phase === wanted && (number === null || view.gen === number);
        },
        [phase, gen],
        { polling: 20 },
      );
    } catch {
      throw new Error(`the phone is not ${phase}: ${JSON.stringify(await this.view())}`);
    }
  }

  /** Its system takes the camera away, without a word. */
  stopCapture() {
    return this.page.evaluate(() => window.__phone.probe.camera.video.stop());
  }

  close() {
    return this.context.close();
  }
}
