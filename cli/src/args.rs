//! The command line as clap reads it.
//!
//! Links are taken as plain text here and parsed by the commands: clap repeats a refused value in its error, and a
//! link holds secrets.

use std::path::PathBuf;

use ailurus::{channel::AccessKind, net::DhtMode};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::clock_offset::ClockOffset;

/// Private chat channels without a central server.
#[derive(Parser)]
#[command(name = "ailurus", version, propagate_version = true, after_help = ROOT_HELP)]
pub struct Cli {
    /// Folder of the profile
    #[arg(long, global = true, value_name = "DIR", env = "AILURUS_DATA")]
    pub data: Option<PathBuf>,
    /// Run with a shifted clock, such as 8d, 90m or -3h (for tests)
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        allow_hyphen_values = true
    )]
    pub clock_offset: Option<ClockOffset>,
    /// DHT in which nodes are looked for when all are lost: off, public, or HOST:PORT,… of nodes to enter it by
    #[arg(
        long,
        global = true,
        value_name = "DHT",
        env = "AILURUS_DHT",
        default_value = "off"
    )]
    pub dht: DhtMode,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show what Ailurus does: a node and four phones, all on this machine
    #[command(after_help = "Example:\n  ailurus demo")]
    Demo,
    /// Make a profile in DIR
    #[command(after_help = INIT_HELP)]
    Init(Init),
    /// Make, join, share and leave channels
    #[command(subcommand)]
    Channel(Channel),
    /// Send a message, and wait up to 15 s until a super node has it
    #[command(after_help = SEND_HELP)]
    Send(Send),
    /// Fetch and deliver once, from and to all nodes
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus sync --json")]
    Sync {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print a channel's messages from the store, oldest first, and mark them read
    #[command(after_help = READ_HELP)]
    Read(Read),
    /// Delete messages here
    #[command(subcommand)]
    Message(Message),
    /// Chat in the terminal
    #[command(after_help = CHAT_HELP)]
    Chat {
        /// Name of the channel, or the first digits of its id
        channel: String,
    },
    /// Write the whole profile into an encrypted backup file
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// The file to make; it must not be there yet
        file: PathBuf,
    },
    /// Make a profile in DIR from a backup file
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// A file that `ailurus export` wrote
        file: PathBuf,
    },
    /// List the super nodes of this profile, the best first
    #[command(after_help = NODES_HELP)]
    Nodes(Nodes),
    /// Add and remove super nodes, and introduce friends to them
    #[command(subcommand)]
    Node(Node),
    /// Show what was spent today and in the last 7 days, and when an app would wake up next
    #[command(after_help = USAGE_HELP)]
    Usage(UsageArgs),
    /// Have super nodes wake this profile by push, and take in what a push brings
    #[command(subcommand)]
    Push(Push),
    /// Look into links
    #[command(subcommand)]
    Key(Key),
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  ailurus completions bash > ~/.local/share/bash-completion/completions/ailurus"
    )]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub struct Init {
    /// Your name, as others see it: at most 32 bytes
    #[arg(long)]
    pub name: String,
    /// Link of a super node; may be given several times. Without one, the nodes of the channels you join are used
    #[arg(long = "node", value_name = "NODE_LINK")]
    pub nodes: Vec<String>,
}

#[derive(Subcommand)]
pub enum Channel {
    /// Make a channel and print its id
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus channel new Bamboo")]
    New {
        /// What to call it: at most 32 bytes
        name: String,
    },
    /// List the channels
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus channel list --json")]
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a link that lets somebody join. Whoever has it has that access: send it privately
    #[command(
        after_help = "Example:\n  ailurus --data ~/.ailurus channel link Bamboo --access read --no-history"
    )]
    Link(Share),
    /// Draw the link as a QR code, in the terminal or as a PNG file
    #[command(
        after_help = "Example:\n  ailurus --data ~/.ailurus channel qr Bamboo --out bamboo.png"
    )]
    Qr {
        #[command(flatten)]
        share: Share,
        /// Write a PNG file instead
        #[arg(long, value_name = "FILE.png")]
        out: Option<PathBuf>,
    },
    /// Join a channel by its link or QR code and print its id
    #[command(after_help = JOIN_HELP)]
    Join(Join),
    /// List who has written or introduced themselves, with safety numbers
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus channel members Bamboo")]
    Members {
        /// Name of the channel, or the first digits of its id
        channel: String,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Call a channel otherwise, here only
    #[command(
        after_help = "Example:\n  ailurus --data ~/.ailurus channel rename Bamboo 'Bamboo grove'"
    )]
    Rename {
        /// Name of the channel, or the first digits of its id
        channel: String,
        /// The new name: at most 32 bytes
        name: String,
    },
    /// Mark a channel as muted, so that apps do not notify
    #[command(
        after_help = "Example:\n  ailurus --data ~/.ailurus channel mute Bamboo\n  ailurus --data ~/.ailurus channel mute Bamboo --off"
    )]
    Mute {
        /// Name of the channel, or the first digits of its id
        channel: String,
        /// Notify again
        #[arg(long)]
        off: bool,
    },
    /// Leave a channel: release it at the nodes, and wipe its keys and messages here for good
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus channel leave Bamboo")]
    Leave {
        /// Name of the channel, or the first digits of its id
        channel: String,
    },
    /// Move a channel to new keys, without some members, and print its new id
    #[command(after_help = ROTATE_HELP)]
    Rotate {
        /// Name of the channel, or the first digits of its id
        channel: String,
        /// Who is left behind: a member's name, or the first digits of the key; may be given several times
        #[arg(long, value_name = "MEMBER")]
        without: Vec<String>,
    },
}

#[derive(Args)]
pub struct Share {
    /// Name of the channel, or the first digits of its id
    pub channel: String,
    /// What the link allows; your own access unless given
    #[arg(long)]
    pub access: Option<AccessArg>,
    /// Leave out the past: the link opens no message of an earlier epoch (weeks that begin on Thursdays)
    #[arg(long)]
    pub no_history: bool,
}

#[derive(Args)]
pub struct Join {
    /// The link, or - to read it from standard input, which keeps it out of the shell's history
    #[arg(required_unless_present = "qr")]
    pub link: Option<String>,
    /// Read the link from a QR code in a PNG file
    #[arg(long, value_name = "FILE.png", conflicts_with = "link")]
    pub qr: Option<PathBuf>,
    /// What to call the channel here, instead of the name in the link
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Args)]
pub struct Send {
    /// Name of the channel, or the first digits of its id
    pub channel: String,
    /// The text, at most 16 KiB, or - to read it from standard input
    #[arg(allow_hyphen_values = true)]
    pub text: String,
    /// Leave it in the outbox for the next `sync`
    #[arg(long)]
    pub queue: bool,
}

#[derive(Args)]
pub struct Read {
    /// Name of the channel, or the first digits of its id
    pub channel: String,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Stay connected and print new messages as they come, until interrupted
    #[arg(long)]
    pub follow: bool,
}

#[derive(Subcommand)]
pub enum Message {
    /// Delete a message here only; others keep theirs
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus message delete 5f0c9a")]
    Delete {
        /// The message's id, or its first digits
        id: String,
    },
}

#[derive(Subcommand)]
pub enum Node {
    /// Use a further super node; needs no network
    #[command(after_help = NODE_ADD_HELP)]
    Add {
        /// Its link (an…) or an invitation of its operator (ai…), or - to read that from standard input
        link: String,
    },
    /// Use a super node no longer; needs no network
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus node remove 5f0c9a")]
    Remove {
        /// Its id, or the first digits, as `ailurus nodes` shows them
        id: String,
    },
    /// Print the links of the super nodes, for scripts
    #[command(
        hide = true,
        after_help = "Example:\n  ailurus --data ~/.ailurus node list"
    )]
    List,
    /// Introduce the members of a channel to the super nodes to which you were introduced
    #[command(after_help = INTRODUCE_HELP)]
    Introduce {
        /// Name of the channel, or the first digits of its id
        channel: String,
    },
}

#[derive(Subcommand)]
pub enum Push {
    /// Print the key of a super node with which to subscribe (VAPID, base64url)
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus push key 5f0c9a")]
    Key {
        /// Its id, or the first digits, as `ailurus nodes` shows them
        id: String,
    },
    /// Have a super node wake this profile at an endpoint, or by its operator's gateway
    #[command(after_help = PUSH_SET_HELP)]
    Set(PushSet),
    /// Have a super node wake this profile no more
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus push clear 5f0c9a")]
    Clear {
        /// Its id, or the first digits
        id: String,
    },
    /// Show how far push has come with each super node
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus push status --json")]
    Status {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Take in what a push brought, decrypted: answer a challenge, or fetch what is new
    #[command(after_help = "Example:\n  ailurus --data ~/.ailurus push receive AQAAAA")]
    Receive {
        /// The payload in base64url; nothing for an empty one
        #[arg(default_value = "")]
        payload: String,
    },
}

#[derive(Args)]
pub struct PushSet {
    /// Id of the super node, or the first digits
    pub id: String,
    /// The subscription's https URL
    #[arg(long, value_name = "URL", requires_all = ["p256dh", "auth"], conflicts_with = "platform")]
    pub endpoint: Option<String>,
    /// The subscription's public key, in base64url
    #[arg(long, value_name = "BASE64URL", requires = "endpoint")]
    pub p256dh: Option<String>,
    /// The subscription's authentication secret, in base64url
    #[arg(long, value_name = "BASE64URL", requires = "endpoint")]
    pub auth: Option<String>,
    /// Name of a platform that the operator's gateway serves, such as fcm or apns
    #[arg(
        long,
        value_name = "NAME",
        requires = "token",
        required_unless_present = "endpoint"
    )]
    pub platform: Option<String>,
    /// The app's token on that platform
    #[arg(long, value_name = "TOKEN", requires = "platform")]
    pub token: Option<String>,
}

#[derive(Args)]
pub struct UsageArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Set first how often an app wakes up in the background; kept with the profile
    #[arg(long, value_name = "PREFERENCE")]
    pub preference: Option<Preference>,
}

/// What the user prefers in the background.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Preference {
    /// Messages soon, at the cost of battery
    Fast,
    /// Messages within minutes by day, at a small cost
    Balanced,
    /// Messages within the hour, at hardly any cost
    Frugal,
}

#[derive(Args)]
pub struct Nodes {
    /// Say why each is what it is
    #[arg(long)]
    pub why: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Key {
    /// Show what a channel link, node link, invitation (ai…) or redPanda string (pr…) holds
    #[command(after_help = INSPECT_HELP)]
    Inspect(Inspect),
}

#[derive(Args)]
pub struct Inspect {
    /// The link, or - to read it from standard input
    pub link: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show secrets too
    #[arg(long)]
    pub reveal: bool,
}

/// Access as it is named on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum AccessArg {
    /// Read and write
    Full,
    /// Read, but not write
    Read,
    /// Write, but not read
    Write,
}

impl From<AccessArg> for AccessKind {
    fn from(access: AccessArg) -> Self {
        match access {
            AccessArg::Full => Self::Full,
            AccessArg::Read => Self::Read,
            AccessArg::Write => Self::Write,
        }
    }
}

const ROOT_HELP: &str = "\
The profile is encrypted under a passphrase, taken from AILURUS_PASSPHRASE or asked for on a terminal.
AILURUS_LOG sets what is logged on standard error (warn unless set). NO_COLOR turns colours off.
Exit codes: 0 done, 1 error, 2 wrong usage, 3 the message stays queued.

Example:
  ailurus demo
  ailurus --data ~/.ailurus init --name Alice --node an…
  ailurus --data ~/.ailurus channel new Bamboo
  ailurus --data ~/.ailurus chat Bamboo";

const INIT_HELP: &str = "\
The operator of a super node hands out its link; `ailurus-node` prints it when it starts.

Example:
  ailurus --data ~/.ailurus init --name Alice --node an…";

const SEND_HELP: &str = "\
Prints the message's id. If no node answers within 15 s, the message stays queued and the exit code is 3.

Example:
  ailurus --data ~/.ailurus send Bamboo 'Hello'
  fortune | ailurus --data ~/.ailurus send Bamboo -";

const READ_HELP: &str = "\
Only --follow touches the network; without it, run `ailurus sync` before. Times are UTC.

Example:
  ailurus --data ~/.ailurus read Bamboo
  ailurus --data ~/.ailurus read Bamboo --json --follow";

const CHAT_HELP: &str = "\
Type a line to send it; ✓ says that a super node has it. /members lists who is there, /quit or Ctrl-D ends.

Example:
  ailurus --data ~/.ailurus chat Bamboo";

const EXPORT_HELP: &str = "\
The backup opens with the passphrase in AILURUS_BACKUP_PASSPHRASE if that is set, else with the profile's own
(AILURUS_PASSPHRASE, or what you type).

Example:
  ailurus --data ~/.ailurus export ailurus.backup";

const IMPORT_HELP: &str = "\
The backup is opened with the passphrase in AILURUS_BACKUP_PASSPHRASE if that is set, else with the same as the new
profile gets (AILURUS_PASSPHRASE, or what you type). Do not use the old and the new profile at the same time.

Example:
  ailurus --data ~/.ailurus-new import ailurus.backup";

const JOIN_HELP: &str = "\
redPanda's pr… strings join too.

Example:
  ailurus --data ~/.ailurus channel join --qr bamboo.png
  ailurus --data ~/.ailurus channel join af…";

const ROTATE_HELP: &str = "\
Remaining members move by themselves; those with read-only access need a new link. Only an admin can do this.

Example:
  ailurus --data ~/.ailurus channel rotate Bamboo --without Carol";

const NODES_HELP: &str = "\
Of three to five nodes the active one is polled; a standby takes over when it fails. Hop counts say how far you are from
a node's operator by introductions; a full node keeps those who are near.

Example:
  ailurus --data ~/.ailurus nodes --why
  ailurus --data ~/.ailurus nodes --json";

const USAGE_HELP: &str = "\
Bytes are those of all datagrams, with the headers of IP and UDP. Wake-ups are traffic after 10 seconds of silence, and
the time that the radio was up is that of a model: LTE unless the network is known to be Wi-Fi.

Example:
  ailurus --data ~/.ailurus usage
  ailurus --data ~/.ailurus usage --preference frugal
  ailurus --data ~/.ailurus usage --json";

const PUSH_SET_HELP: &str = "\
The node sends a challenge there, which `ailurus push receive` brings back; from then on it wakes this profile there.

Example:
  ailurus --data ~/.ailurus push set 5f0c9a --endpoint https://push.example.net/x --p256dh BCVx... --auth BTBZ...
  ailurus --data ~/.ailurus push set 5f0c9a --platform fcm --token abc";

const NODE_ADD_HELP: &str = "\
A link is public; an invitation is for you alone and makes you count as near to the operator.

Example:
  ailurus --data ~/.ailurus node add an…
  ailurus --data ~/.ailurus node add -";

const INTRODUCE_HELP: &str = "\
From now on whoever is in the channel is introduced by itself, one hop farther from the operator than you.

Example:
  ailurus --data ~/.ailurus node introduce Bamboo";

const INSPECT_HELP: &str = "\
Secrets are left out unless --reveal is given.

Example:
  ailurus key inspect pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6 --json";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let mut root = Cli::command();
        root.build();
        root.clone().debug_assert();
        let mut open = vec![root];
        while let Some(command) = open.pop() {
            if command.get_name() == "help" {
                continue;
            }
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let leaf = !command.has_subcommands();
            assert!(
                !leaf || help.contains("Example:\n  "),
                "{} has no example",
                command.get_name()
            );
            open.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn a_clock_offset_may_be_negative() {
        let cli = Cli::try_parse_from(["ailurus", "--clock-offset", "-3h", "demo"]).unwrap();
        assert_eq!(
            cli.clock_offset.map(ClockOffset::as_millis),
            Some(-3 * 3_600_000)
        );
    }
}
