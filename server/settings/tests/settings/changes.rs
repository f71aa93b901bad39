//! What a reload makes of a running server's settings.

use settings::{Loaded, Update};

use crate::load;

fn loaded(file: &str) -> Loaded {
    load(file, &[]).unwrap_or_else(|error| panic!("should load: {error}"))
}

fn update(before: &str, after: &str) -> Update {
    loaded(after).update(&loaded(before).values).expect("they go together")
}

#[test]
fn what_is_written_otherwise_and_means_the_same_is_no_change() {
    let before = "[server]\nidle_timeout = '2m'\n[outbox]\nmax_bytes = 65536\n[bus]\ntimeout = '5s'";
    let after = "[server]\nidle_timeout = '120s'\n[outbox]\nmax_bytes = '64 KiB'\n[tenants]";
    let update = update(before, after);
    assert_eq!((update.changed, update.pending), (vec![], vec![]));
}

#[test]
fn what_a_running_server_takes_on_is_taken_on() {
    let before = "[auth]\njwt_secret = 'old'\n[limits]\nmax_joins_per_second = 1\n\
                  [tenants.acme.limits]\nmax_events_per_second = 5\n[tenants.gone]";
    let after = "[auth]\njwt_secret = 'new'\n[limits]\nmax_joins_per_second = 2\n\
                 [tenants.acme]\nsuspended = true\n[tenants.acme.limits]\nmax_events_per_second = 5\n[tenants.come]";
    let update = update(before, after);
    assert_eq!(
        update.changed,
        [
            "auth.jwt_secret",
            "limits.max_joins_per_second",
            "tenants.acme.limits.max_joins_per_second",
            "tenants.acme.suspended",
            "tenants.come",
            "tenants.gone"
        ]
    );
    assert_eq!(update.pending, [""; 0]);
    assert_eq!(update.settings.limits.max_joins_per_second.get(), 2);
    assert!(update.settings.tenants["acme"].suspended);
}

#[test]
fn what_takes_a_restart_stays_and_is_pending_until_it_is_taken_back() {
    let first = loaded("[server]\nport = 1001");
    let second = loaded("[server]\nport = 1002\n[limits]\nmax_joins_per_second = 2").update(&first.values);
    let second = second.expect("they go together");
    assert_eq!(second.settings.server.port, 1001);
    assert_eq!(second.settings.limits.max_joins_per_second.get(), 2);
    assert_eq!(
        (second.changed, second.pending),
        (vec!["limits.max_joins_per_second".into()], vec!["server.port".into()])
    );

    let third = loaded("[server]\nport = 1002\n[limits]\nmax_joins_per_second = 2").update(&second.running);
    let third = third.expect("they go together");
    assert_eq!((third.changed, third.pending), (vec![], vec!["server.port".to_owned()]), "still pending");

    let fourth = loaded("[server]\nport = 1001").update(&third.running).expect("they go together");
    assert_eq!(fourth.pending, [""; 0], "nothing waits any more");
}

#[test]
fn an_update_of_a_thousand_tenants_names_each_that_changed() {
    let tenants = |joins: u32| {
        let tenant = |n| {
            format!(
                "[tenants.t{n}.limits]\nmax_joins_per_second = {joins}\n[tenants.t{n}.auth]\njwt_secret = 's{n}'\n"
            )
        };
        (0..1000).map(tenant).collect::<String>()
    };
    let started = std::time::Instant::now();
    let before = loaded(&tenants(1));
    let read = started.elapsed();
    let update = loaded(&tenants(2)).update(&before.values).expect("they go together");
    eprintln!("1,000 tenants: read in {read:?}, read and compared in {:?}", started.elapsed() - read);
    assert_eq!(update.changed.len(), 1000);
    assert_eq!(update.settings.tenants["t999"].limits.max_joins_per_second.get(), 2);
}
