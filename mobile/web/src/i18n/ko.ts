import type { Words } from './en';

export const ko: Words = {
  app: 'Nightjar',
  start: {
    title: '이 휴대폰을 카메라로',
    to: (computer) => `${computer}의 화면에 나타납니다.`,
    toSome: '바로 화면에 나타납니다.',
    go: '카메라 시작',
    add: '이 휴대폰 추가',
    name: '카메라 이름',
    namePlaceholder: '주방',
    awake: '이 페이지를 열어 두고 충전기를 연결해 두세요.',
    lock: '이 브라우저는 화면을 켜 둘 수 없습니다. 촬영하는 동안 휴대폰의 자동 잠금을 “안 함”으로 설정하세요.',
    hears: '마이크는 언제든지 끌 수 있습니다.',
  },
  scan: {
    go: '코드 스캔',
    title: '컴퓨터의 코드를 스캔하세요',
    steps: [
      '컴퓨터에서 Nightjar를 여세요.',
      '“휴대폰 추가”를 선택하세요.',
      '이 휴대폰의 카메라 앱으로 코드를 비추고 링크를 여세요.',
    ],
  },
  pair: {
    title: '숫자를 비교하세요',
    hint: '컴퓨터에 같은 여섯 자리 숫자가 보이면 그곳에서 “허용”을 누르세요.',
    waiting: '컴퓨터를 기다리는 중…',
  },
  state: {
    live: '전송 중',
    liveAlone: '전송 중이지만 컴퓨터가 응답하지 않습니다. 찾는 중…',
    looking: '컴퓨터를 찾는 중…',
    lookingHint: '같은 네트워크에 있나요? Nightjar가 열려 있나요?',
    strangerHint: '아무것도 전송하지 않았습니다. 원래 컴퓨터가 응답하면 자동으로 계속됩니다.',
    lookingIn: (seconds) => `${seconds}초 후 다시 시도`,
    proving: '컴퓨터가 이 휴대폰을 확인하는 중…',
    opening: '카메라를 여는 중…',
    connecting: '연결 중…',
    repairing: '영상이 도착하지 않습니다. 복구 중…',
    repairingHint: '아무것도 하지 않아도 됩니다.',
    camera: '카메라가 멈췄습니다. 다시 여는 중…',
  },
  refused: {
    denied: {
      title: '카메라를 사용할 수 없습니다',
      hint: '이 페이지의 카메라를 허용하세요. Chrome에서는 주소 왼쪽의 아이콘, iPhone에서는 설정 › 앱 › Safari › 카메라입니다. 그런 다음 다시 시도하세요.',
    },
    denied_app: {
      title: '카메라를 사용할 수 없습니다',
      hint: '휴대폰 설정의 앱 목록에서 Nightjar를 열고 카메라와 마이크를 허용한 뒤 다시 시도하세요.',
    },
    missing: {
      title: '카메라가 없습니다',
      hint: '이 기기에 카메라가 없거나 다른 프로그램이 사용 중입니다. 카메라를 연결한 뒤 다시 시도하세요.',
    },
    insecure: {
      title: '브라우저가 이 페이지에 카메라를 허용하지 않습니다',
      hint: '주소가 https://로 시작해야 합니다. 컴퓨터의 코드를 다시 스캔하세요.',
    },
  },
  paused: {
    hidden: '일시 중지: 화면 잠김',
    locked: '일시 중지: 화면 잠김',
    call: '일시 중지: 통화 중',
    pressure: '일시 중지: 다른 앱이 카메라를 사용 중',
    user: '일시 중지',
    hint: '자동으로 다시 시작합니다.',
    userHint: '컴퓨터에 일시 중지로 표시됩니다.',
    go: '계속하기',
  },
  end: {
    unpaired: { title: '컴퓨터가 이 휴대폰을 알지 못합니다', hint: '코드를 다시 스캔하세요.' },
    rejected: {
      title: '이미 사용했거나 만료된 코드입니다',
      hint: '코드는 2분 동안 한 번만 쓸 수 있습니다. 컴퓨터에서 새 코드를 띄워 스캔하세요.',
    },
    revoked: {
      title: '이 휴대폰은 제거되었습니다',
      hint: '컴퓨터가 더 이상 허용하지 않습니다. 다시 추가하려면 코드를 스캔하세요.',
    },
    replaced: {
      title: '다른 곳에서 카메라가 실행 중입니다',
      hint: '이 휴대폰은 이제 다른 페이지에서 전송합니다.',
    },
    impostor: {
      title: '코드를 스캔한 컴퓨터가 아닙니다',
      hint: '아무것도 전송하지 않았습니다. 컴퓨터의 코드를 다시 스캔하세요.',
    },
    forbidden: {
      title: '컴퓨터가 허용하지 않습니다',
      hint: '컴퓨터에서 휴대폰을 제거한 뒤 다시 추가하세요.',
    },
    again: '다시 시도',
    here: '여기서 시작',
    back: '뒤로',
  },
  controls: {
    turn: '카메라 전환',
    torch: '조명',
    mute: '마이크 끄기',
    unmute: '마이크 켜기',
    muteRefused: '마이크를 사용할 수 없습니다',
    zoom: '확대',
    quality: '화질',
    qualities: { low: '낮음', medium: '보통', high: '최고' },
    dim: '화면 어둡게',
    undim: '화면을 누르면 영상이 보입니다',
    pause: '일시 중지',
    stop: '중지',
    more: '설정',
  },
  thrift: {
    battery: (level) => `배터리 ${level}%: 프레임을 줄여 보냅니다.`,
    heat: '휴대폰이 뜨거워 프레임을 줄여 보냅니다.',
  },
  figures: (width, height, fps, mbps) => `${width}×${height}, ${fps} fps, ${mbps} Mbit/s`,
};
