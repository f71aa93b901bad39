//! The words that the sources do not use, what to write for them, and why.

/// Where a word is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    /// Everywhere: in identifiers, comments, strings and documents.
    Sentences,
    /// In an identifier, alone or with other words. In a sentence it may be plain English.
    Names,
    /// As the whole name of a type.
    Types,
}

/// A refused word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    /// Its forms, and other words with the same replacement.
    pub(super) forms: &'static [&'static str],
    pub(super) place: In,
    pub(super) instead: &'static str,
    pub(super) why: &'static str,
}

const fn sentences(forms: &'static [&'static str], instead: &'static str, why: &'static str) -> Refused {
    Refused { forms, place: In::Sentences, instead, why }
}

const fn names(forms: &'static [&'static str], instead: &'static str, why: &'static str) -> Refused {
    Refused { forms, place: In::Names, instead, why }
}

const fn types(forms: &'static [&'static str], instead: &'static str, why: &'static str) -> Refused {
    Refused { forms, place: In::Types, instead, why }
}

/// Forms are written as in a sentence: «address place» refuses `AddressPlace` and `address_place` too.
pub(super) const REFUSED: &[Refused] = &[
    sentences(&["cable", "cables"], "connection", "a connection to Redis is no cable"),
    sentences(&["tenure", "tenures"], "incarnation", "one run of a node between two connections to the bus"),
    sentences(&["bereft"], "without its key", "a connection whose verification key was withdrawn"),
    sentences(&["bury", "buries", "buried", "burial"], "expire, remove", "the lease of a node expires"),
    sentences(&["obey", "obeys", "obeyed"], "apply, handle", "a command is applied"),
    sentences(
        &["goodbye", "goodbyes", "farewell", "farewells"],
        "disconnect, close frame",
        "how a server ends a connection",
    ),
    sentences(
        &["guest", "guests", "stranger", "strangers"],
        "client, peer, unknown node",
        "connections come from clients",
    ),
    sentences(&["neighbour", "neighbours"], "other node, peer", "nodes of a cluster are peers"),
    sentences(&["whoever"], "the client, the caller", "a sentence names its subject"),
    sentences(
        &["nobody", "somebody", "anybody", "everybody"],
        "no client, another process, all members",
        "a sentence names its subject",
    ),
    sentences(&["vouch", "vouches"], "verify, CA certificate", "a certificate verifies another one"),
    sentences(&["earnest"], "in production", "a server runs in development or in production"),
    sentences(&["sent away", "sends away"], "disconnected", "a server disconnects clients"),
    sentences(&["entrance", "entrances"], "acceptor", "what accepts connections of a listener"),
    sentences(&["door", "doors"], "port, listener, endpoint", "where connections are accepted"),
    sentences(&["patience"], "timeout, configuration", "how long something waits is a timeout"),
    sentences(&["haste"], "urgency", "how fast a server shuts down"),
    sentences(&["eyes", "blind"], "watched files, not watching", "a file watcher watches or does not"),
    sentences(&["complaint", "complaints"], "problem, reported error", "what a watcher or a check reports"),
    sentences(&["bell", "bells"], "notifier", "it notifies sessions of a change"),
    sentences(&["cellar", "roof"], "foundation, top layer", "modules form layers"),
    sentences(&["mint", "mints"], "token issuer", "it signs tokens"),
    sentences(&["liar", "liars"], "false header", "a client that forges a header"),
    sentences(
        &["sister", "sisters"],
        "the other constructors, the other clients",
        "things are not relatives",
    ),
    sentences(&["believe", "believes", "believed"], "accept, verify", "a token is verified"),
    sentences(
        &["doubt untold", "begins to tell", "renew bereft", "is done by", "take orders"],
        "reconcile, resync_started, recheck_withdrawn_keys, set_handler",
        "a function is named for its whole effect",
    ),
    names(
        &["hearing", "judging", "speaking"],
        "inbound, liveness, outbound",
        "the parts of the link to other nodes",
    ),
    names(&["news"], "delta", "what has changed since the last one"),
    names(&["departure", "departures"], "relay_event, relay_queue", "what a node sends to the others"),
    names(
        &["keeper", "keepers"],
        "link_task, refresh_task",
        "a task that keeps a connection or a value current",
    ),
    names(&["follower", "occasion"], "config_reloader, trigger", "what reloads the settings, and when"),
    names(&["ticket", "address place"], "permit", "the right to open one more connection"),
    names(&["hurry"], "urgency", "how fast a server shuts down"),
    names(&["doubt", "doubts", "untold"], "reconcile", "presence that a resync has not confirmed"),
    names(&["introduced"], "read_proxy_header", "the address that a proxy sends"),
    names(&["company"], "connectivity", "whether a node is connected to others"),
    names(&["go away"], "refuse_connections", "a broker that closes its connections"),
    names(&["raw saying"], "raw_with_early_frames", "frames that come with the handshake"),
    names(&["work alone"], "run_disconnected", "a link without a connection"),
    names(&["told", "tell", "tells"], "sent, reported, published", "a node publishes, a function reports"),
    names(&["hear", "hears", "heard"], "receive", "nodes and clients receive"),
    types(&["FLOORS", "CELLAR"], "LAYERS, FOUNDATION", "modules form layers"),
    types(&["Account"], "Incarnation", "one run of a node"),
    types(&["Statement"], "PresenceUpdate", "a delta or a snapshot of a node's presence"),
    types(&["Said", "Hello"], "ClusterMessage, ResyncBegin", "a message between nodes"),
    types(&["Condition"], "Connectivity, Readiness", "two states with one name"),
    types(&["Terms"], "TenantSpec", "what a tenant is configured to have"),
    types(&["Edition"], "FileStamp", "what tells one version of a file from the next"),
    types(&["Hall"], "ListenerContext", "what all connections of a listener share"),
    types(&["Place"], "Permit", "the right to open one more connection"),
    types(&["Why"], "an error enum such as JoinError", "a reason has a name"),
    types(&["Desk", "Spell"], "RateLimiter, Window", "a limit over a window of time"),
    types(&["Home"], "static_fields", "the fields of every log line"),
    types(&["Standing", "Opening"], "the state of what", "several modules used the word"),
];

/// Doc comments that say nothing.
pub(super) const EMPTY_COMMENTS: [&str; 4] = ["Yes.", "No.", "The others.", "In a row."];
