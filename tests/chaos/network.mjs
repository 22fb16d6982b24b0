// A small house of networks: the server in one, each camera in one of its own, a switch between.
//
// Everything lives in the network, mount and process namespaces that scripts/chaos.mjs made, so
// nothing of it outlives this process and nothing is seen outside. This process and the server
// share one network; `10.77.0.1` is their side of the switch, `10.77.N.1` is camera N.

import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

const exec = promisify(execFile);
export const now = () => performance.now();
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Names of the cameras; what stands here can be resolved, and nothing else can. */
const HOSTS = '/run/nightjar-hosts';
const DOMAIN = 'cameras.test';
const names = new Map();

function writeHosts() {
  const lines = [...names].map(([name, address]) => `${address} ${name}`);
  writeFileSync(HOSTS, `127.0.0.1 localhost\n${lines.join('\n')}\n`);
}

async function sh(script) {
  try {
    return (await exec('/bin/sh', ['-ec', script])).stdout;
  } catch (error) {
    throw new Error(`${script}\n${error.stderr || error.message}`);
  }
}

/** Once, before the first camera. */
export async function build() {
  writeHosts();
  await sh(`
    mount --bind ${HOSTS} /etc/hosts
    ip link set lo up
    mkdir -p /run/netns && mount -t tmpfs none /run/netns
    ip netns add switch
    ip -n switch link add br0 type bridge stp_state 0
    ip -n switch link set br0 up
    ip link add up0 type veth peer name port0 netns switch
    ip -n switch link set port0 master br0 up
    ip addr add 10.77.0.1/16 dev up0
    ip link set up0 up
  `);
}

/** The whole switch loses its power: every camera is gone for the server, whose own link stays. */
export const switchOff = () => sh('ip -n switch link set br0 down');
export const switchOn = () => sh('ip -n switch link set br0 up');

/** The network of one camera. */
export class Wire {
  constructor(n) {
    this.n = n;
    this.space = `camera${n}`;
    this.port = `port${n}`;
    this.link = `link${n}`;
    this.host = `camera${n}.${DOMAIN}`;
    this.address = `10.77.${n}.1`;
  }

  async lay() {
    const { n, space, port, link } = this;
    // Devices that come up say so (gratuitous ARP), as every DHCP client does.
    await sh(`
      ip netns add ${space}
      ip -n ${space} link set lo up
      ip link add ${link} netns ${space} type veth peer name ${port} netns switch
      ip netns exec ${space} sysctl -qw net.ipv4.conf.${link}.arp_notify=1
      ip -n ${space} addr add ${this.address}/16 dev ${link}
      ip -n ${space} link set ${link} up
      ip -n switch link set ${port} master br0 up
      ip netns exec switch nft -f - <<END
        table netdev ${port} {
          chain from { type filter hook ingress device ${port} priority 0; }
          chain to { type filter hook egress device ${port} priority 0; }
        }
END
    `);
    names.set(this.host, this.address);
    writeHosts();
    this.n = n;
  }

  #rule(rule) {
    const { port } = this;
    return sh(`ip netns exec switch nft -f - <<END
      flush chain netdev ${port} from
      flush chain netdev ${port} to
      ${rule ? `add rule netdev ${port} from ${rule}` : ''}
      ${rule ? `add rule netdev ${port} to ${rule}` : ''}
END`);
  }

  /** What a rule of nftables says, both ways. */
  filter = (rule) => this.#rule(rule);
  /** Packets vanish on the way; every link stays up. */
  drop = () => this.#rule('drop');
  /** Some of them, by chance. */
  lose = (percent) => this.#rule(`numgen random mod 100 < ${percent} drop`);
  pass = () => this.#rule(null);

  /** The camera's cable. Its own programs go on. */
  pull = () => sh(`ip -n ${this.space} link set ${this.link} down`);
  plug = () => sh(`ip -n ${this.space} link set ${this.link} up`);

  /** What the camera sends goes out at this pace, in kbit/s. */
  narrow(kbits) {
    const { space, link } = this;
    return sh(
      `ip netns exec ${space} tc qdisc replace dev ${link} root tbf rate ${kbits}kbit burst 8k latency 400ms`,
    );
  }
  widen = () => sh(`ip netns exec ${this.space} tc qdisc del dev ${this.link} root`);

  /** The address is given up; the name still leads to it. */
  leave = () => sh(`ip -n ${this.space} addr del ${this.address}/16 dev ${this.link}`);
  /** The camera has another address, and its name leads there. */
  async move() {
    const last = this.address.endsWith('.1') ? 2 : 1;
    this.address = `10.77.${this.n}.${last}`;
    await sh(`ip -n ${this.space} addr add ${this.address}/16 dev ${this.link}`);
    this.name();
  }

  /** Another address in place of this one, as when a network hands out a new one. */
  async change() {
    const before = this.address;
    this.address = `10.77.${this.n}.${before.endsWith('.1') ? 2 : 1}`;
    await sh(`
      ip -n ${this.space} addr del ${before}/16 dev ${this.link}
      ip -n ${this.space} addr add ${this.address}/16 dev ${this.link}
      ip -n ${this.space} route replace default via 10.77.0.1
    `);
  }
  /** A way out of its network, as a phone looks for one. */
  route = () => sh(`ip -n ${this.space} route replace default via 10.77.0.1`);

  name() {
    names.set(this.host, this.address);
    writeHosts();
  }
  unname() {
    names.delete(this.host);
    writeHosts();
  }

  /** Runs a program in the camera's network. */
  spawn(path, args) {
    const stdio = ['pipe', 'pipe', 'pipe'];
    return spawn('nsenter', [`--net=/run/netns/${this.space}`, path, ...args], { stdio });
  }
}
