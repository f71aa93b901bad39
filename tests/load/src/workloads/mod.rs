//! The workloads, by name. Each file is one family: what it does, what it reaches for, how it is judged.

mod abuse;
mod both_cores;
mod changes;
mod database;
mod documents;
mod exporters;
mod fanout;
mod history;
mod large;
mod memory;
mod nodes;
mod presence;
mod reload;
mod rooms;
mod scale;
mod scrape;
mod start;
mod storm;
mod tenant_changes;
mod tenants;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::drive::{Drive, Measured, Times};
use crate::floor::Style;
use crate::machine::Cores;
use crate::report::{Outcome, Report};
use crate::server::{Kind, Target};
use crate::setup::Setup;
use crate::traffic::Shape;

pub use self::scale::Scale;

/// Something to measure.
pub struct Workload {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does and what it should reach, in a line.
    pub reach: &'static str,
    /// Does it.
    pub run: fn(&Bench) -> Result<Outcome>,
}

/// All of them, in the order they are run.
pub const ALL: &[Workload] = &[
    Workload {
        name: "start",
        reach: "spawn to the first 200 from /health, median of five: < 50 ms",
        run: start::run,
    },
    Workload {
        name: "fanout-8",
        reach: "1 → 1,000 members, 256 bytes, 8 not yet seen by the slowest: ≥ 0.9 × floor-coalesced",
        run: |bench| fanout::saturated(bench, 8, 0.9),
    },
    Workload {
        name: "fanout-64",
        reach: "the same with 64: ≥ 0.5 × floor-coalesced",
        run: |bench| fanout::saturated(bench, 64, 0.5),
    },
    Workload {
        name: "fanout-256",
        reach: "the same with 256: ≥ 0.4 × floor-coalesced, and no collapse",
        run: |bench| fanout::saturated(bench, 256, 0.4),
    },
    Workload {
        name: "paced",
        reach: "the same as text, one message every 20 ms: CPU ≤ 1.2 ×, p99 ≤ 1.2 × floor-single",
        run: fanout::paced,
    },
    Workload {
        name: "rooms-paced",
        reach: "200 rooms × 10 members, 2,000 messages/s as text: CPU ≤ 1.2 ×, p99 ≤ 1.5 × floor-single",
        run: rooms::paced,
    },
    Workload {
        name: "rooms-saturated",
        reach: "the same rooms, 4 in flight in each: ≥ 0.75 × floor-coalesced",
        run: rooms::saturated,
    },
    Workload {
        name: "rooms-talk",
        reach: "the same, members send in turn, as text: ≥ 0.9 ×, p99 ≤ 3 × p50, no room below a third of the mean",
        run: rooms::talk,
    },
    Workload {
        name: "fanout-64-both",
        reach: "8 rooms of 500, 64 in flight in each, server on both cores: CPU per delivery ≤ 1.25 × that on one",
        run: both_cores::fanout,
    },
    Workload {
        name: "rooms-talk-both",
        reach: "rooms-talk with the server on both cores: CPU per delivery ≤ 1.25 × that on one",
        run: both_cores::talk,
    },
    Workload {
        name: "abuse",
        reach: "1,000 sockets of another tenant at 10 × its limits: p99 of `paced`, 95 % interval below 1.2 × without them",
        run: |bench| abuse::run(bench, &abuse::OVERLOAD),
    },
    Workload {
        name: "abuse-rejoins",
        reach: "another tenant rejoins 90 rooms of presence on two connections: the same",
        run: |bench| abuse::run(bench, &abuse::REJOINS),
    },
    Workload {
        name: "abuse-states",
        reach: "the same with 480 KB of presence in each room: the same",
        run: |bench| abuse::run(bench, &abuse::STATES),
    },
    Workload {
        name: "abuse-keys",
        reach: "600 handshakes with an unknown key of a tenant whose key set is not answered: the same",
        run: |bench| abuse::run(bench, &abuse::KEYS),
    },
    Workload {
        name: "abuse-posts",
        reach: "3,500 posts/s without a token against the measured tenant: the same",
        run: |bench| abuse::run(bench, &abuse::POSTS),
    },
    Workload {
        name: "abuse-sockets",
        reach: "one address opens 1,223 sockets and keeps them: the same",
        run: |bench| abuse::run(bench, &abuse::SOCKETS),
    },
    Workload {
        name: "memory",
        reach: "10,000 joined connections, three rounds: ≤ 4 KiB each, and back to the start",
        run: memory::plain,
    },
    Workload {
        name: "memory-tls",
        reach: "the same over TLS: ≤ 24 KiB each, and back to the start",
        run: memory::tls,
    },
    Workload {
        name: "connect-storm",
        reach: "connect + JWT + join of 5,000: ≥ 0.55 × the floor's bare connects/s, CPU ≤ 2.4 ×",
        run: storm::run,
    },
    Workload {
        name: "presence",
        reach: "500 members track in one room: all see all in 2 s, bytes ≤ 1.5 × members × final state",
        run: presence::run,
    },
    Workload {
        name: "large",
        reach: "3 MB to 1,000 members, 20 not reading: the others get it, < 50 MB over idle",
        run: large::run,
    },
    Workload {
        name: "two-nodes",
        reach: "1 → 500 + 500 members on two nodes and one Redis, 64 in flight: ≥ 0.6 × one node",
        run: nodes::saturated,
    },
    Workload {
        name: "two-nodes-paced",
        reach: "one message every 20 ms to one member: the other node receives it < 1 ms later (p50)",
        run: nodes::paced,
    },
    Workload {
        name: "two-nodes-flood",
        reach: "two nodes, another tenant sends 12 MB/s from one to the other: as `abuse`",
        run: |bench| abuse::run(bench, &abuse::FLOOD),
    },
    Workload {
        name: "two-nodes-rejoins",
        reach: "`abuse-rejoins` on two nodes",
        run: |bench| abuse::run(bench, &abuse::REJOINS_ON_TWO_NODES),
    },
    Workload {
        name: "two-nodes-states",
        reach: "`abuse-states` on two nodes",
        run: |bench| abuse::run(bench, &abuse::STATES_ON_TWO_NODES),
    },
    Workload {
        name: "reload",
        reach: "a file with 1,000 tenants edited twice a second: < 200 ms, p99 ≤ 1.5 × quiet",
        run: reload::run,
    },
    Workload {
        name: "scrape",
        reach: "the metrics of 1,000 tenants: ≤ 1 µs of CPU a line; read without a pause: p99 of `paced` ≤ 1.1 × quiet",
        run: scrape::run,
    },
    Workload {
        name: "exporters-paced",
        reach: "`paced` while all metrics and traces are exported, to none: CPU ≤ 1.05 ×",
        run: exporters::paced,
    },
    Workload {
        name: "exporters-storm",
        reach: "`connect-storm` likewise: CPU ≤ 1.05 × with a hundredth of the traces, ≤ 1.25 × with all",
        run: exporters::storm,
    },
    Workload {
        name: "exporters-posts",
        reach: "100,000 broadcasts over HTTP likewise: the same",
        run: exporters::posts,
    },
    Workload {
        name: "tenants",
        reach: "10,000 tenants in the embedded store: ≥ 300 created/s, start < 1 s, ≤ 4 KiB for each idle one",
        run: tenants::embedded,
    },
    Workload { name: "tenants-postgres", reach: "the same in PostgreSQL", run: tenants::postgres },
    Workload {
        name: "tenants-created",
        reach: "an operator creates tenants as fast as they are committed: p99 of `paced`, 95 % interval below 1.2 × without",
        run: |bench| abuse::run(bench, &abuse::CREATIONS),
    },
    Workload {
        name: "tenants-created-postgres",
        reach: "the same in PostgreSQL",
        run: |bench| abuse::run(bench, &abuse::CREATIONS_ON_POSTGRES),
    },
    Workload {
        name: "tenant-changes",
        reach: "a change of a tenant closes a parked socket on another node: < 1 s, by PostgreSQL and by Redis",
        run: tenant_changes::run,
    },
    Workload {
        name: "private-joins",
        reach: "1,000 join a private room after a restart: ≥ 0.7 × pgbench's transactions/s; equal claims: ≤ 1.5 × a public room",
        run: database::joins,
    },
    Workload {
        name: "database-broadcasts",
        reach: "realtime.send 20/s to 1,000 members: commit to the last, p99 ≤ 3 × the floor's 1,000 writes + 10 ms",
        run: database::broadcasts,
    },
    Workload {
        name: "database-broadcasts-saturated",
        reach: "realtime.send without a pause, one member: ≥ 0.8 × PostgreSQL alone; by INSERT ≥ 20,000/s",
        run: database::saturated,
    },
    Workload {
        name: "paced-without-database",
        reach: "`paced` while the tenant's database is stopped, to without one: CPU ≤ 1.1 ×, p99 ≤ 1.2 ×",
        run: database::stopped,
    },
    Workload {
        name: "history",
        reach: "`rooms-saturated` with the history of all rooms: CPU ≤ 1.15 × without",
        run: history::run,
    },
    Workload {
        name: "changes-latency",
        reach: "changes of a table to one subscriber, 20/s: p50 < 5 ms, p99 < 25 ms from the commit",
        run: changes::latency,
    },
    Workload {
        name: "changes-unwatched",
        reach: "inserts into a published table that no client watches: ≤ 1.5 × the same without a slot",
        run: changes::unwatched,
    },
    Workload {
        name: "changes-saturated",
        reach: "one subscriber, without RLS: ≥ 40,000 changes/s",
        run: changes::saturated,
    },
    Workload {
        name: "changes-rls",
        reach: "1,000 subscribers with distinct claims: ≥ 20 × the documented algorithm in SQL",
        run: changes::visibility,
    },
    Workload {
        name: "changes-filters",
        reach: "10,000 subscriptions with distinct `eq` filters: ≥ 0.5 × one subscriber",
        run: changes::filters,
    },
    Workload {
        name: "changes-large",
        reach: "a transaction of 1,000,000 rows: all in order; by default one notice; < 100 MB; p99 of `paced` ≤ 2 × quiet",
        run: changes::transaction,
    },
    Workload {
        name: "documents-typing",
        reach: "50 documents × 10 editors × 10 updates/s, durable: CPU ≤ 0.95 × y-sweet, ≤ 0.6 × Hocuspocus; p99 ≤ 10 ms, acknowledged < 8 ms",
        run: documents::typing,
    },
    Workload {
        name: "documents-slow-disk",
        reach: "the same with 5 ms more for each fdatasync: p99 ≤ 10 ms, acknowledged < 30 ms",
        run: documents::slow_disk,
    },
    Workload {
        name: "documents-crowd",
        reach: "one document, 200 editors, 4 in flight each: delivered ≥ 1.25 × Hocuspocus, ≥ 5 × y-sweet",
        run: documents::crowd,
    },
    Workload {
        name: "documents-cold",
        reach: "the first open of a document of 200,000 items: < 300 ms without compaction, < 50 ms with it",
        run: documents::cold,
    },
    Workload {
        name: "documents-idle",
        reach: "10,000 documents of 20 KB, one idle client each: ≤ 12 KiB each",
        run: documents::idle,
    },
    Workload {
        name: "documents-stored",
        reach: "100,000 stored documents: start < 1 s, open of one < 20 ms",
        run: documents::stored,
    },
];

/// What every workload needs to know.
pub struct Bench {
    /// The release server.
    pub server: PathBuf,
    /// Who runs where.
    pub cores: Option<Cores>,
    /// How much of everything.
    pub scale: Scale,
}

impl Bench {
    /// Starts the server or a floor.
    pub fn start(&self, kind: Kind) -> Result<Target> {
        Target::start(kind, &self.server, self.cores, &Setup::default())
    }

    /// Starts a server with more than the usual set-up.
    pub fn start_with(&self, setup: &Setup) -> Result<Target> {
        Target::start(Kind::Server, &self.server, self.cores, setup)
    }

    /// Measures two things in turns, so that a slow minute of the machine hits both. Who begins changes from run to run.
    fn in_turns<T, U>(
        &self,
        one: impl Fn() -> Result<T>,
        other: impl Fn() -> Result<U>,
    ) -> Result<(Vec<T>, Vec<U>)> {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        for run in 0..self.scale.runs {
            if run % 2 == 0 {
                ones.push(one()?);
                others.push(other()?);
            } else {
                others.push(other()?);
                ones.push(one()?);
            }
        }
        Ok((ones, others))
    }

    /// Measures ours and the floor [in turns](Self::in_turns).
    fn alternate<T>(&self, floor: Style, measure: impl Fn(&Target) -> Result<T>) -> Result<(Vec<T>, Vec<T>)> {
        let once = |kind| {
            let of = || format!("{kind:?}");
            let mut target = self.start(kind).with_context(of)?;
            let measured = measure(&target);
            // A server that died explains more than the broken connection it left.
            target.check_alive().with_context(of)?;
            measured.with_context(of)
        };
        self.in_turns(|| once(Kind::Server), || once(Kind::Floor(floor)))
    }

    /// [`Bench::alternate`] for broadcasts in rooms.
    fn traffic(&self, floor: Style, shape: Shape, drive: Drive, times: Times) -> Result<(Runs, Runs)> {
        self.alternate(floor, |target| crate::drive::run(target, shape, drive, times))
    }
}

type Runs = Vec<Measured>;

fn runs_json(ours: &[Measured], floor: &[Measured]) -> Value {
    let list = |runs: &[Measured]| runs.iter().map(Measured::json).collect::<Vec<_>>();
    json!({"ours": list(ours), "floor": list(floor)})
}

/// What can only be judged when several workloads are done.
pub fn compare(report: &mut Report) {
    fanout::compare(report);
}
