//! A contender that runs: where it is, whose processor time and memory count, and how to publish to it. It stops when it is dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::contender::Contender;
use crate::deployment::Deployment;
use crate::error::Failure;
use crate::machine::family;
use crate::outlet::Outlet;
use crate::role::{Role, beside};

/// Connections over which a peer is published to. Ours has one publisher, as one service would.
const PEER_OUTLETS: usize = 4;
/// After a start the process comes to rest.
const REST: Duration = Duration::from_secs(1);

/// A running contender.
#[derive(Debug)]
pub(crate) struct Server {
    /// Who.
    pub(crate) contender: Contender,
    /// Where its streams are.
    pub(crate) address: SocketAddr,
    /// The processes that hold the streams.
    pub(crate) serving: Vec<u32>,
    /// Those on the way to it, which a peer does not have: publisher and router.
    pub(crate) before: Vec<u32>,
    /// The broker.
    pub(crate) broker: Vec<u32>,
    /// Ways to publish.
    pub(crate) outlets: Vec<Outlet>,
    _guards: Vec<Guard>,
}

/// What keeps it running.
#[derive(Debug)]
enum Guard {
    Role { _role: Role },
    Script(PathBuf),
    Deployment { _deployment: Deployment },
}

impl Server {
    /// Starts a contender.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(contender: Contender) -> Result<Self, Failure> {
        let mut server = match contender {
            Contender::Us => Self::us(),
            Contender::Floor => Self::floor(),
            Contender::Nchan | Contender::Centrifugo | Contender::Mercure => Self::peer(contender),
        }?;
        std::thread::sleep(REST);
        server.serving = server.serving.iter().copied().flat_map(family).collect();
        Ok(server)
    }

    fn us() -> Result<Self, Failure> {
        let deployment = Deployment::find("bench")?;
        let deployment =
            deployment.ok_or_else(|| Failure::Usage("TIDEGATE_KAFKA and TIDEGATE_REGISTRY are not set".to_owned()))?;
        let router = deployment.start("router")?;
        let edge = deployment.start("edge")?;
        let mut publisher = deployment.publisher()?;
        let outlets = vec![Outlet::lines(publisher.stdin()?)];
        Ok(Self {
            contender: Contender::Us,
            address: edge.address()?,
            serving: vec![edge.pid()],
            before: vec![publisher.pid(), router.pid()],
            broker: deployment.kafka_pid.into_iter().collect(),
            outlets,
            _guards: [publisher, edge, router]
                .map(|role| Guard::Role { _role: role })
                .into_iter()
                .chain([Guard::Deployment { _deployment: deployment }])
                .collect(),
        })
    }

    fn floor() -> Result<Self, Failure> {
        let role = Role::start("floor", Command::new(beside("fanout")?).arg("floor"))?;
        let address = role.address()?;
        Ok(Self {
            contender: Contender::Floor,
            address,
            serving: vec![role.pid()],
            before: Vec::new(),
            broker: Vec::new(),
            outlets: vec![Outlet::http(Contender::Floor, address, String::new())],
            _guards: vec![Guard::Role { _role: role }],
        })
    }

    fn peer(contender: Contender) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(format!("{}.sh", contender.name()));
        let ask = |verb: &str| ask(contender, &script, verb);
        ask("start")?;
        let guards = vec![Guard::Script(script.clone())];
        let said = |what: &str| Failure::contender(contender.name(), format!("its script says no {what}"));
        let address = ask("address")?.parse().map_err(|_| said("address"))?;
        let pid = ask("pid")?.parse().map_err(|_| said("pid"))?;
        let header = ask("header")?;
        Ok(Self {
            contender,
            address,
            serving: vec![pid],
            before: Vec::new(),
            broker: Vec::new(),
            outlets: (0..PEER_OUTLETS).map(|_| Outlet::http(contender, address, header.clone())).collect(),
            _guards: guards,
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self {
            Self::Script(script) => {
                let _ = Command::new(script).arg("stop").output();
            }
            Self::Role { .. } | Self::Deployment { .. } => {}
        }
    }
}

fn ask(contender: Contender, script: &Path, verb: &str) -> Result<String, Failure> {
    let output =
        Command::new(script).arg(verb).output().map_err(Failure::system(format!("{} {verb}", script.display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(Failure::contender(contender.name(), format!("{verb}: {error}")))
}
