import Ailurus

/// Something that a notification tells; the app puts it into the phone's language.
public enum Announcement: Equatable, Sendable {
    /// New messages in a channel; `author` and `text` are the last one's.
    case messages(channel: ChannelId, name: String, count: Int, author: String, text: String)
    /// Someone writes in a channel for the first time.
    case joined(channel: ChannelId, name: String, member: String)
    /// A channel has new keys, and we have them.
    case rotated(channel: ChannelId, name: String)
    /// A channel has new keys without us.
    case moved(channel: ChannelId, name: String)

    /// The channel that a tap on the notification opens.
    public var channel: ChannelId {
        switch self {
        case .messages(let channel, _, _, _, _), .joined(let channel, _, _), .rotated(let channel, _),
            .moved(let channel, _):
            return channel
        }
    }

    /// What to tell after a sync, one announcement for all messages of a channel. Muted channels stay silent.
    static func all(of report: PollReport, in client: Client) async throws -> [Announcement] {
        var channels: [ChannelId] = []
        for message in report.messages where !message.own && !channels.contains(message.channel) {
            channels.append(message.channel)
        }
        var announcements: [Announcement] = []
        for id in channels {
            let new = report.messages.filter { $0.channel == id && !$0.own }
            guard let last = new.last, let channel = try await loud(id, in: client) else { continue }
            announcements.append(
                .messages(
                    channel: channel.id,
                    name: channel.name,
                    count: new.count,
                    author: last.authorName,
                    text: last.text
                )
            )
        }
        for notice in report.notices {
            if let announcement = try await tell(notice.kind, in: client) { announcements.append(announcement) }
        }
        return announcements
    }

    private static func tell(_ notice: NoticeKind, in client: Client) async throws -> Announcement? {
        switch notice {
        case .joined(let id, let member):
            guard let channel = try await loud(id, in: client) else { return nil }
            return .joined(channel: channel.id, name: channel.name, member: member)
        case .rotated(_, let id, _):
            guard let channel = try await loud(id, in: client) else { return nil }
            return .rotated(channel: channel.id, name: channel.name)
        case .moved(let id):
            guard let channel = try await loud(id, in: client) else { return nil }
            return .moved(channel: channel.id, name: channel.name)
        default:
            return nil
        }
    }

    /// The channel under this or a former id, unless it is muted or was left meanwhile.
    private static func loud(_ id: ChannelId, in client: Client) async throws -> ChannelSummary? {
        do {
            let channel = try await client.channel(id: id).summary()
            return channel.muted ? nil : channel
        } catch AilurusError.NotFound {
            return nil
        }
    }
}
