/** English words of the phone. The shape of this object is the catalogue that every language fills. */
export const en = {
  app: 'Nightjar',
  start: {
    title: 'This phone as a camera',
    to: (computer: string) => `It appears on the wall of ${computer}.`,
    toSome: 'It appears on your wall at once.',
    go: 'Start the camera',
    add: 'Add this phone',
    name: 'Name of this camera',
    namePlaceholder: 'Kitchen',
    awake: 'Leave this page open and the phone on its charger.',
    lock: 'This browser cannot keep the screen on: set the phone’s auto-lock to “Never” while it films.',
    hears: 'The microphone can be switched off at any time.',
  },
  scan: {
    go: 'Scan the code',
    title: 'Scan the code on your computer',
    steps: [
      'Open Nightjar on your computer.',
      'Choose “Add a phone”.',
      'Point this phone’s camera app at the code and open the link.',
    ],
  },
  pair: {
    title: 'Compare the numbers',
    hint: 'Your computer shows the same six digits. If so, choose “Allow” there.',
    waiting: 'Waiting for your computer…',
  },
  state: {
    live: 'Live',
    liveAlone: 'Live, but your computer does not answer. Looking for it…',
    looking: 'Looking for your computer…',
    lookingHint: 'Are both in the same network? Is Nightjar open?',
    strangerHint: 'Nothing was sent to it. It goes on by itself when the right one answers.',
    lookingIn: (seconds: number) => `Trying again in ${seconds} s`,
    proving: 'Your computer is checking this phone…',
    opening: 'Opening the camera…',
    connecting: 'Connecting…',
    repairing: 'The picture does not arrive. Repairing…',
    repairingHint: 'Nothing needs to be done.',
    camera: 'The camera stopped. Opening it again…',
  },
  refused: {
    denied: {
      title: 'The camera may not be used',
      hint: 'Allow the camera for this page: in Chrome by the sign left of the address, on an iPhone in Settings › Apps › Safari › Camera. Then try again.',
    },
    denied_app: {
      title: 'The camera may not be used',
      hint: 'Open the phone’s settings, choose Nightjar among the apps, and allow camera and microphone. Then try again.',
    },
    missing: {
      title: 'There is no camera',
      hint: 'This device has none, or another program keeps it. Connect one, then try again.',
    },
    insecure: {
      title: 'The browser gives no camera to this page',
      hint: 'Its address must begin with https://. Scan the code on your computer again.',
    },
  },
  paused: {
    hidden: 'Paused: screen locked',
    locked: 'Paused: screen locked',
    call: 'Paused: a call',
    pressure: 'Paused: another app has the camera',
    user: 'Paused',
    hint: 'It goes on by itself.',
    userHint: 'Your computer shows that it is paused.',
    go: 'Go on',
  },
  end: {
    unpaired: { title: 'Your computer does not know this phone', hint: 'Scan its code again.' },
    rejected: {
      title: 'That code is used up',
      hint: 'Codes are good once, for two minutes. Let the computer show a new one and scan it.',
    },
    revoked: {
      title: 'This phone was removed',
      hint: 'Your computer no longer lets it in. Scan its code to add it again.',
    },
    replaced: {
      title: 'The camera runs in another place',
      hint: 'This phone publishes from another page now.',
    },
    impostor: {
      title: 'This is not the computer whose code was scanned',
      hint: 'Nothing was sent to it. Scan the code on your computer again.',
    },
    forbidden: {
      title: 'Your computer does not allow that',
      hint: 'Remove the phone there and add it again.',
    },
    again: 'Try again',
    here: 'Start here',
    back: 'Back',
  },
  controls: {
    turn: 'Other camera',
    torch: 'Light',
    mute: 'Mute',
    unmute: 'Unmute',
    muteRefused: 'Sound not allowed',
    zoom: 'Zoom',
    quality: 'Picture',
    qualities: { low: 'Small', medium: 'Good', high: 'Best' },
    dim: 'Dim the screen',
    undim: 'Touch to see the picture',
    pause: 'Pause',
    stop: 'Stop',
    more: 'Settings',
  },
  thrift: {
    battery: (level: number) => `Battery at ${level} %: fewer pictures are sent.`,
    heat: 'The phone is hot: fewer pictures are sent.',
  },
  figures: (width: number, height: number, fps: number, mbps: string) =>
    `${width}×${height}, ${fps} fps, ${mbps} Mbit/s`,
};

export type Words = typeof en;
