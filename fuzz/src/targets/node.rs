//! What arrives over QUIC at a node and at a client.

use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;

use ailurus::channel::{Address, Epoch, Ticket, VapidKey};
use ailurus::client::{PushTarget, engine::Engine};
use ailurus::crypto::SeededEntropy;
use ailurus::store::StorageKey;
use ailurus::wire::{
    frame::{self, FrameDecoder},
    limits::MAX_FRAME,
    node::{
        Batch, CaughtUp, GatewayPush, Hello, Position, Published, Push, PushState, PushTrouble,
        PushWithdrawal, Pushing, Refusal, Release, Request, Response, Sync, WebPush, push, request,
        response,
    },
    probe::Datagram,
};
use ailurus_node::{Limits, PushOffer, Service, Session, Store};

use super::{ADDRESS, NOW, Target, example_node};

/// Any bytes as frames, in chunks whose length the first byte chooses.
pub(super) fn frame() -> Target {
    Target {
        body: Box::new(|data| {
            let Some((step, stream)) = data.split_first() else {
                return;
            };
            let mut decoder = FrameDecoder::new();
            let mut taken = 0;
            for chunk in stream.chunks(usize::from(*step).max(1)) {
                decoder.push(Bytes::copy_from_slice(chunk));
                loop {
                    match decoder.next(MAX_FRAME) {
                        Ok(Some(body)) => {
                            let whole = frame::encode(&body);
                            assert_eq!(stream.get(taken..taken + whole.len()), Some(&whole[..]));
                            taken += whole.len();
                        }
                        Ok(None) => break,
                        Err(_) => return,
                    }
                }
                assert!(decoder.buffered() <= MAX_FRAME + frame::MAX_HEADER);
            }
            assert!(taken <= stream.len());
        }),
        seeds: [0, 1, 63, 64, 300]
            .map(|length| [&[7][..], &frame::encode(&vec![1; length])].concat())
            .into(),
    }
}

/// Any request to a node by a client that is registered.
pub(super) fn request() -> Target {
    let (node, mut client) = TestNode::new();
    let seeds = example_requests(&mut client)
        .iter()
        .map(|request| request.encode_to_vec())
        .collect();
    Target {
        body: Box::new(move |data| {
            let Ok(request) = Request::decode(data) else {
                return;
            };
            for response in node.ask(request) {
                assert!(response.encoded_len() <= MAX_FRAME);
            }
        }),
        seeds,
    }
}

/// Any bytes as the cursor of a sync.
pub(super) fn cursor() -> Target {
    let (node, _) = TestNode::new();
    let own = node.ask(sync(Bytes::new()));
    let seeds = own
        .into_iter()
        .filter_map(|response| match response.kind? {
            response::Kind::Position(position) => Some(position.cursor.to_vec()),
            _ => None,
        })
        .collect();
    Target {
        body: Box::new(move |data| {
            let responses = node.ask(sync(Bytes::copy_from_slice(data)));
            let ended = responses.last().and_then(|last| last.kind.as_ref());
            assert!(matches!(ended, Some(response::Kind::CaughtUp(_))));
        }),
        seeds,
    }
}

/// Any response to a client, which takes batches in and believes nothing else.
pub(super) fn response() -> Target {
    let Client {
        mut engine,
        address,
        _folder: folder,
    } = client();
    let target = PushTarget::Gateway {
        platform: "fcm".to_owned(),
        token: "token".to_owned(),
    };
    let set = engine.set_push(example_node().key(), &target);
    set.expect("a good target");
    let engine = std::cell::RefCell::new(engine);
    let hello = Hello {
        time_ms: NOW.as_millis(),
        generation: Bytes::from_static(&[1; 16]),
        from_start: true,
        leases: 2,
        ..Hello::default()
    };
    let refusals = vec![Refusal {
        index: 1,
        reason: 2,
    }];
    let seeds = [
        response::Kind::Hello(hello),
        response::Kind::Batch(Batch {
            address: Bytes::copy_from_slice(address.as_bytes()),
            base_time_ms: NOW.as_millis(),
            items: vec![ailurus::wire::node::Item {
                time_delta_ms: -1,
                sealed: Bytes::from_static(&[1; 300]),
                ..Default::default()
            }],
        }),
        response::Kind::Position(Position {
            cursor: Bytes::from_static(&[1; 76]),
        }),
        response::Kind::Published(Published { refusals }),
        response::Kind::CaughtUp(CaughtUp::default()),
        response::Kind::Pushing(Pushing {
            state: PushState::Dropped.into(),
            trouble: PushTrouble::Gone.into(),
            vapid_key: Bytes::from_static(&[4; 65]),
            gateway: true,
        }),
    ]
    .map(|kind| Response { kind: Some(kind) }.encode_to_vec());
    let body = move |data: &[u8]| {
        let _keep = &folder;
        let node = *example_node().key();
        let mut engine = engine.borrow_mut();
        match Response::decode(data).ok().and_then(|answer| answer.kind) {
            Some(response::Kind::Batch(mut batch)) => {
                let items = batch.items.len() as u64;
                if batch.address.len() == Address::LEN {
                    // Past the check of the address, which nobody can guess.
                    batch.address = Bytes::copy_from_slice(address.as_bytes());
                }
                let taken = engine.ingest(&node, &[batch], None, NOW);
                assert_eq!(taken.expect("refused, not failed").dropped, items);
            }
            Some(response::Kind::Hello(hello)) => {
                let _ = engine.hello(&node, &hello, NOW);
            }
            Some(response::Kind::Pushing(pushing)) => {
                let telling = engine.push(&node, NOW).expect("readable");
                if let Some(telling) = telling {
                    let taken = engine.pushing(&node, &telling, &pushing, NOW);
                    taken.expect("a claim is noted");
                }
                engine.push_key(&node, &pushing).expect("noted");
            }
            Some(response::Kind::Position(position)) => {
                let taken = engine.ingest(&node, &[], Some(&position.cursor), NOW);
                taken.expect("a cursor is opaque");
            }
            _ => {}
        }
    };
    Target {
        body: Box::new(body),
        seeds: seeds.into(),
    }
}

/// A node's service with a client that holds leases. It keeps what it accepts until it is dropped.
pub(super) struct TestNode {
    service: Service,
    session: Session,
    _folder: TempDir,
}

impl TestNode {
    /// With what its client said at first.
    pub(super) fn new() -> (Self, Client) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("node.db")).expect("a store");
        let limits = Limits {
            items_per_second: u32::MAX,
            items_burst: u32::MAX,
            bytes_per_second: u32::MAX,
            bytes_burst: u32::MAX,
            ..Limits::default()
        };
        let key = *example_node().key();
        let mut client = client();
        let nodes = client.engine.nodes().expect("its node");
        let node = Self {
            service: Service::new(store.into(), limits, key),
            session: Session {
                pseudonym: nodes[0].pseudonym.public(),
                early: false,
                exporter: Some(EXPORTER),
                network: None,
            },
            _folder: folder,
        };
        let offer = PushOffer {
            vapid_key: VapidKey::from_bytes([4; 65]),
            gateway: true,
            loopback: false,
            requests_per_second_per_host: 10,
        };
        node.service.offer_push(offer, NOW).expect("readable");
        for request in example_requests(&mut client) {
            node.ask(request);
        }
        (node, client)
    }

    fn ask(&self, request: Request) -> Vec<Response> {
        self.service.handle(&self.session, NOW, request)
    }

    /// A ticket that it gives the client.
    pub(super) fn ticket(&self) -> Ticket {
        let end = self.ask(sync(Bytes::new())).pop().and_then(|end| end.kind);
        let Some(response::Kind::CaughtUp(end)) = end else {
            panic!("a sync ends otherwise: {end:?}");
        };
        let given = end.tickets.first().and_then(Ticket::from_wire);
        given.expect("a ticket")
    }

    /// What it answers to a datagram.
    pub(super) fn answer(&self, datagram: &[u8]) -> Option<Datagram> {
        let from = [192, 0, 2, 1].into();
        self.service.answer_probe(from, NOW, datagram)
    }
}

/// A client with one channel, and the channel's address now.
pub(super) struct Client {
    engine: Engine,
    address: Address,
    _folder: TempDir,
}

fn client() -> Client {
    let folder = tempfile::tempdir().expect("a folder");
    let key = StorageKey::from_bytes([1; 32]);
    let path = folder.path().join("profile.db");
    let mut engine = Engine::create(&path, &key, "Alice", &[example_node()]).expect("a profile");
    engine.set_entropy(Box::new(SeededEntropy::from_u64(6)));
    let channel = engine.create_channel("family", NOW).expect("a channel");
    engine.send(&channel, "hello", NOW).expect("queued");
    let link = engine
        .link(&channel, ailurus::channel::AccessKind::Full, true, NOW)
        .expect("a link");
    let link: ailurus::channel::Link = link.parse().expect("it parses");
    let keys = link.access.address_keys(Epoch::of(NOW)).expect("keys");
    Client {
        engine,
        address: keys.address,
        _folder: folder,
    }
}

/// What a client says at first: leases, a message, and everything else once.
fn example_requests(client: &mut Client) -> Vec<Request> {
    let key = *example_node().key();
    let leases = client.engine.register(&key, &EXPORTER, NOW);
    let messages = client.engine.publish(&key, NOW);
    let mut requests: Vec<Request> = leases
        .expect("leases are due")
        .into_iter()
        .map(|registration| registration.request)
        .collect();
    requests.extend(
        messages
            .expect("a message waits")
            .0
            .into_iter()
            .map(|publication| publication.request),
    );
    requests.extend(
        [
            request::Kind::Release(Release {
                addresses: vec![Bytes::copy_from_slice(ADDRESS.as_bytes())],
            }),
            request::Kind::Fetch(ailurus::wire::node::Fetch {
                address: Bytes::copy_from_slice(client.address.as_bytes()),
                id: Bytes::from_static(&[1; 32]),
            }),
        ]
        .map(|kind| Request { kind: Some(kind) }),
    );
    requests.extend(
        [
            None,
            Some(push::Kind::WebPush(WebPush {
                endpoint: "https://push.example.net/x".to_owned(),
                p256dh: Bytes::from_static(&P256DH),
                auth: Bytes::from_static(&[1; 16]),
            })),
            Some(push::Kind::Gateway(GatewayPush {
                platform: "fcm".to_owned(),
                token: "token".to_owned(),
            })),
            Some(push::Kind::Challenge(Bytes::from_static(&[1; 16]))),
            Some(push::Kind::Withdrawal(PushWithdrawal {})),
        ]
        .map(|kind| Request {
            kind: Some(request::Kind::Push(Push { kind })),
        }),
    );
    requests.push(sync(Bytes::new()));
    requests
}

fn sync(cursor: Bytes) -> Request {
    Request {
        kind: Some(request::Kind::Sync(Sync {
            cursor,
            follow: false,
        })),
    }
}

/// The public key of RFC 8291, appendix A.
const P256DH: [u8; 65] = [
    0x04, 0x25, 0x71, 0xb2, 0xbe, 0xcd, 0xfd, 0xe3, 0x60, 0x55, 0x1a, 0xaf, 0x1e, 0xd0, 0xf4, 0xcd,
    0x36, 0x6c, 0x11, 0xce, 0xbe, 0x55, 0x5f, 0x89, 0xbc, 0xb7, 0xb1, 0x86, 0xa5, 0x33, 0x39, 0x17,
    0x31, 0x68, 0xec, 0xe2, 0xeb, 0xe0, 0x18, 0x59, 0x7b, 0xd3, 0x04, 0x79, 0xb8, 0x6e, 0x3c, 0x8f,
    0x8e, 0xce, 0xd5, 0x77, 0xca, 0x59, 0x18, 0x7e, 0x92, 0x46, 0x99, 0x0d, 0xb6, 0x82, 0x00, 0x8b,
    0x0e,
];
/// The exporter of the client's connection.
const EXPORTER: [u8; 32] = [9; 32];
