// What the library's values are called on the screen.

import Ailurus
import AilurusDemoModel

extension Failure {
    /// What happened, in the phone's language; `sentence` says more, in English.
    var title: String {
        switch error {
        case .AlreadyIn: return localized("error.already_in")
        case .Ambiguous, .NotFound: return localized("error.not_found")
        case .BadBackup: return localized("error.bad_backup")
        case .BadInput: return localized("error.bad_input")
        case .BadLink: return localized("error.bad_link")
        case .Busy: return localized("error.busy")
        case .ChannelExists: return localized("error.channel_exists")
        case .Corrupt: return localized("error.corrupt")
        case .DiskFull: return localized("error.disk_full")
        case .Full: return localized("error.full")
        case .Io, .ReadOnly: return localized("error.storage")
        case .Moved: return localized("error.moved")
        case .Network, .Refused, .Protocol: return localized("error.node")
        case .NewerVersion: return localized("error.newer_version")
        case .NoCode: return localized("error.no_code")
        case .NoNode: return localized("error.no_node")
        case .NoProfile: return localized("error.no_profile")
        case .NotAdmin: return localized("error.not_admin")
        case .NotAllowed: return localized("error.not_allowed")
        case .ProfileExists: return localized("error.profile_exists")
        case .Vault: return localized("error.vault")
        case .WrongKey: return localized("error.wrong_key")
        case .Cancelled, .Closed, .Suspended, .none: return localized("error.other")
        }
    }
}

extension AccessKind {
    var title: String {
        switch self {
        case .full: return localized("access.full")
        case .read: return localized("access.read")
        case .write: return localized("access.write")
        }
    }
}

extension MessageState {
    /// A symbol for own messages; those of others have none.
    var symbol: String? {
        switch self {
        case .queued: return "clock"
        case .atNode: return "checkmark"
        case .expired: return "exclamationmark.triangle"
        case .received: return nil
        }
    }

    var title: String {
        switch self {
        case .queued: return localized("state.queued")
        case .atNode: return localized("state.at_node")
        case .expired: return localized("state.expired")
        case .received: return localized("state.received")
        }
    }
}

extension LinkOffer {
    /// The question.
    var title: String {
        switch info {
        case .channel(let name, _, _):
            return name.isEmpty ? localized("offer.unnamed") : localized("offer.channel %@", name)
        case .node(_, let host, _):
            return localized("offer.node %@", host)
        case .invitation(_, let host, _, _):
            return localized("offer.invitation %@", host)
        }
    }

    /// What agreeing does.
    var explanation: String {
        switch info {
        case .channel(_, _, redpanda: true): return localized("offer.redpanda")
        case .channel(_, let access, _): return access.title
        case .node, .invitation: return localized("offer.node_explanation")
        }
    }

    /// The button that agrees.
    var action: String {
        switch info {
        case .channel: return localized("offer.join")
        case .node, .invitation: return localized("offer.add")
        }
    }
}

extension NodeStatus {
    /// What the super node is used for, and how far its operator is.
    var title: String {
        let distance = hopCount.map { localized("node.hops %lld", Int64($0)) } ?? localized("node.stranger")
        return "\(state.title) · \(distance)"
    }
}

extension NodeState {
    var title: String {
        switch self {
        case .active: return localized("node.active")
        case .standby: return localized("node.standby")
        case .down: return localized("node.down")
        case .refused: return localized("node.refused")
        }
    }
}

extension Notice {
    /// The notice in the phone's language.
    var text: String {
        switch kind {
        case .clock(_, ahead: true, _): return localized("notice.clock_ahead")
        case .clock: return localized("notice.clock_behind")
        case .expired(_, let count): return localized("notice.expired %lld", Int64(clamping: count))
        case .missed: return localized("notice.missed")
        case .joined(_, let name): return localized("notice.joined %@", name)
        case .rotated: return localized("notice.rotated")
        case .moved: return localized("notice.moved")
        case .nameTaken(_, let name): return localized("notice.name_taken %@", name)
        case .forked(_, let name): return localized("notice.forked %@", name)
        case .dropped(let count): return localized("notice.dropped %lld", Int64(clamping: count))
        case .refused(_, let reason): return localized("notice.refused %@", reason)
        case .storage(let reason): return localized("notice.storage %@", reason)
        case .unreachable(_, let reason): return localized("notice.unreachable %@", reason)
        case .withheld: return localized("notice.withheld")
        }
    }
}

extension Preference {
    static let allCases: [Preference] = [.fast, .balanced, .frugal]

    var title: String {
        switch self {
        case .fast: return localized("preference.fast")
        case .balanced: return localized("preference.balanced")
        case .frugal: return localized("preference.frugal")
        }
    }
}

extension WakeupReason {
    var title: String {
        switch self {
        case .sync: return localized("reason.sync")
        case .outbox: return localized("reason.outbox")
        case .registration: return localized("reason.registration")
        case .dht: return localized("reason.dht")
        case .mesh: return localized("reason.mesh")
        case .resync: return localized("reason.resync")
        case .dust: return localized("reason.dust")
        case .upkeep: return localized("reason.upkeep")
        case .push: return localized("reason.push")
        case .user: return localized("reason.user")
        case .foreground: return localized("reason.foreground")
        }
    }
}

extension Member {
    /// What to know about a member, most urgent first.
    var remarks: [String] {
        [
            nameTaken ? localized("members.name_taken") : nil,
            forked ? localized("members.forked") : nil,
            removed ? localized("members.removed") : nil,
            missing > 0 ? localized("members.missing %lld", Int64(clamping: missing)) : nil,
            writeOnly ? localized("members.write_only") : nil,
            own ? localized("members.own") : nil,
        ].compactMap { $0 }
    }
}

extension Announcement {
    /// A notification's first line: the channel.
    var title: String {
        switch self {
        case .messages(_, let name, _, _, _), .joined(_, let name, _), .rotated(_, let name), .moved(_, let name):
            return name
        }
    }

    /// A notification's text.
    var body: String {
        switch self {
        case .messages(_, _, 1, let author, let text):
            return "\(author.isEmpty ? localized("chat.unknown") : author): \(text)"
        case .messages(_, _, let count, _, _): return localized("announce.messages %lld", Int64(count))
        case .joined(_, _, let member): return localized("notice.joined %@", member)
        case .rotated: return localized("notice.rotated")
        case .moved: return localized("notice.moved")
        }
    }
}
