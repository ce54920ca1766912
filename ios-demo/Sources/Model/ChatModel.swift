import Ailurus

/// One channel: its messages, and what can be done with it.
@MainActor
public final class ChatModel: ObservableObject, FailureTelling {
    /// The latest messages, oldest first.
    @Published public private(set) var messages: [Message] = []
    /// How the channel stands; nothing until it was read, and after leaving.
    @Published public private(set) var summary: ChannelSummary?
    /// How many messages are shown at most.
    @Published public private(set) var limit = 50
    /// What is being written.
    @Published public var draft = ""
    @Published public var failure: Failure?

    public let id: ChannelId
    private let client: Client
    private var channel: Channel?
    private var seen: Set<MessageId> = []

    public init(client: Client, id: ChannelId) {
        self.client = client
        self.id = id
    }

    /// Keeps the messages up to date and marks them as read, until the task that runs it is cancelled: run it while the
    /// channel is on the screen, and again when `limit` has changed.
    public func watch() async {
        await attempt {
            for try await latest in try await opened().latest(limit) {
                messages = latest
                do {
                    summary = try await opened().summary()
                    try await markRead()
                } catch AilurusError.NotFound {
                    return // left meanwhile
                }
            }
        }
    }

    /// There may be messages before those that are shown.
    public var hasEarlier: Bool { messages.count >= limit }

    /// Shows more of the past.
    public func showEarlier() {
        limit += 50
    }

    /// Whether this profile may write here.
    public var canWrite: Bool {
        guard let summary else { return false }
        return summary.access != .read && !summary.moved
    }

    /// Sends the draft, which stays if that fails.
    public func send() async {
        let text = draft
        await attempt {
            _ = try await opened().send(text: text)
            if draft == text { draft = "" }
        }
    }

    /// Deletes a message on this phone.
    public func delete(_ message: MessageId) async {
        await attempt {
            try await client.deleteMessage(id: message)
            messages.removeAll { $0.id == message }
        }
    }

    /// Renames the channel, here only.
    public func rename(_ name: String) async {
        await attempt {
            try await opened().rename(name: name)
            summary = try await opened().summary()
        }
    }

    /// Switches notifications off or on.
    public func mute(_ muted: Bool) async {
        await attempt {
            try await opened().mute(muted: muted)
            summary = try await opened().summary()
        }
    }

    /// Leaves the channel and wipes its keys and messages here. Returns whether that worked.
    public func leave() async -> Bool {
        let left: Void? = await attempt { try await opened().leave() }
        guard left != nil else { return false }
        (messages, summary) = ([], nil)
        return true
    }

    private func opened() async throws -> Channel {
        if let channel { return channel }
        let opened = try await client.channel(id: id)
        channel = opened
        return opened
    }

    /// Marks what is shown as read, and not what arrived since. The order of arrival may differ from the one shown, so
    /// the newest shown message is not always enough.
    private func markRead() async throws {
        for message in messages.reversed() where !message.own && seen.insert(message.id).inserted {
            if summary?.unread == 0 { continue }
            try await client.markReadUpTo(id: message.id)
            summary = try await opened().summary()
        }
    }
}
