//! A room of the library uses only the rooms below it, and only some rooms do IO (docs/ARCHITECTURE.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and what it may use.
const ROOMS: [(&str, &[&str]); 9] = [
    ("wire", &[]),
    ("crypto", &["wire"]),
    ("channel", &["crypto", "wire"]),
    ("sync", &["channel", "crypto", "wire"]),
    ("discovery", &["channel", "crypto", "wire"]),
    ("power", &["wire"]),
    ("store", &["channel", "crypto", "wire"]),
    ("net", &["crypto", "wire"]),
    (
        "client",
        &[
            "store",
            "sync",
            "discovery",
            "power",
            "net",
            "channel",
            "crypto",
            "wire",
        ],
    ),
];

/// What the node uses of the library.
const NODE: &[&str] = &["channel", "crypto", "net", "wire"];

/// What sockets, disks, clocks and tasks come from, and who may use it.
const IO: [(&str, &[&str]); 8] = [
    ("tokio::", &["net", "client"]),
    ("mainline::", &["net"]),
    ("quinn::", &["net"]),
    ("rusqlite::", &["store"]),
    ("std::fs", &["store", "client"]),
    ("std::net::UdpSocket", &["net"]),
    ("std::thread", &["client"]),
    ("SystemTime", &["client"]),
];

#[test]
fn every_room_stands_on_those_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<String> = fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| name(&path))
        .collect();
    let known: BTreeSet<String> = ROOMS.map(|(room, _)| room.to_owned()).into();
    assert_eq!(rooms, known, "a room without a floor");

    for (room, below) in ROOMS {
        for file in sources(&source.join(room)) {
            let code = code(&fs::read_to_string(&file).unwrap());
            for used in used(&code, "crate::") {
                assert!(
                    used == room || below.contains(&used.as_str()) || !known.contains(&used),
                    "{} uses {used}, which does not lie below {room}",
                    file.display()
                );
            }
            for (what, who) in IO {
                assert!(
                    who.contains(&room) || !code.contains(what),
                    "{} uses {what}, which {room} may not",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_node_knows_nothing_of_the_client() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/src");
    let mut seen = BTreeSet::new();
    for file in sources(&source) {
        for used in used(&code(&fs::read_to_string(&file).unwrap()), "ailurus::") {
            assert!(
                NODE.contains(&used.as_str()),
                "{} uses {used}",
                file.display()
            );
            seen.insert(used);
        }
    }
    assert!(seen.contains("wire") && seen.contains("net"), "{seen:?}");
}

#[test]
fn uses_are_found_in_every_form() {
    let text = "
        //! [`crate::client`] is a comment.
        use crate::channel::{Epoch, crypto};
        use crate::{crypto::{Aead, kdf}, wire};
        fn f() -> crate::net::Error { $crate::store::g() } // crate::sync
        let s = \"crate::client\";
    ";
    let found = used(&code(text), "crate::");
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["channel", "crypto", "net", "store", "wire"]);
}

/// The first names that follow `root`, also inside braces.
fn used(code: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(identifier(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut start = true;
        for (offset, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ if start && !character.is_whitespace() => {
                    names.insert(identifier(&group[offset..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The text without comments, strings of one line, and what follows the first test module.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let line = line.split("//").next().unwrap_or_default();
        for (part, outside) in line.split('"').zip([true, false].into_iter().cycle()) {
            if outside {
                code.push_str(part);
            }
        }
        code.push('\n');
    }
    code
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
