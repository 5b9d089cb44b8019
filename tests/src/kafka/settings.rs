//! The settings of a test broker: one node that is broker and controller, replication 1, quick to
//! start and to notice that a client is gone.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::Path;

use crate::proxy::Proxy;

/// A port that nothing listens on, below those that the system hands out for outgoing connections: a
/// client that tries to reach a stopped broker there could otherwise be connected to itself.
pub(super) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + (random % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The text of `server.properties`. The short session lets a killed broker register again after three
/// seconds instead of nine.
pub(super) fn broker(folder: &Path, port: u16, controller: u16, proxies: &[Proxy]) -> String {
    let mut listeners = format!("PLAIN://127.0.0.1:{port}");
    let mut advertised = listeners.clone();
    let mut protocols = "PLAIN:PLAINTEXT".to_owned();
    for (i, proxy) in proxies.iter().enumerate() {
        listeners += &format!(",PROXY{i}://127.0.0.1:{}", proxy.target());
        // Who comes in through a proxy is told the proxy's address, and so stays on it.
        advertised += &format!(",PROXY{i}://{}", proxy.address());
        protocols += &format!(",PROXY{i}:PLAINTEXT");
    }
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}
log.dirs={data}
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=100
",
        data = folder.join("data").display(),
    )
}
