//! This machine's name on the network, by multicast DNS (RFC 6762, 6763).

use mdns_sd::{ServiceDaemon, ServiceInfo};
use tracing::warn;

/// What others look for.
const SERVICE: &str = "_camrelay._tcp.local.";

/// Announced until it is dropped.
pub(super) struct Announced {
    daemon: ServiceDaemon,
    name: String,
}

/// Answers for `host` with the addresses of this machine, whatever they are. `None` where that cannot be.
pub(super) fn announce(host: &str, port: u16, relay_id: &str) -> Option<Announced> {
    let name = host.trim_end_matches(".local");
    let told = [("v", "1"), ("id", relay_id), ("path", "/publish")];
    let announced = ServiceDaemon::new().and_then(|daemon| {
        let info =
            ServiceInfo::new(SERVICE, name, &format!("{host}."), "", port, &told[..])?.enable_addr_auto();
        let name = info.get_fullname().to_owned();
        daemon.register(info)?;
        Ok(Announced { daemon, name })
    });
    announced.inspect_err(|error| warn!(%error, host, "the name cannot be announced; addresses work")).ok()
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The daemon says goodbye by itself; where it is gone already, so is the name.
        let _ = self.daemon.unregister(&self.name);
        let _ = self.daemon.shutdown();
    }
}
