import Foundation

extension Channel {
    /// The latest messages, oldest first and at most `limit`: at once, and again whenever something changes in
    /// them. Changes that come faster than pages are taken make one page.
    ///
    /// It ends when the client is shut down or the channel is left; if that was before, it throws
    /// ``AilurusError/Closed(message:)`` or ``AilurusError/NotFound(message:)``. While the client is suspended it throws ``AilurusError/Suspended``: iterate
    /// anew after `resume`.
    public func latest(_ limit: Int) -> LatestMessages { LatestMessages(channel: self, limit: limit) }

    /// All messages, newest first, holding one page of them at a time.
    public func history(pageSize: Int = 100) -> MessageHistory { MessageHistory(channel: self, pageSize: pageSize) }
}

extension Client {
    /// Where an own message stands: now, and whenever it moves on. It ends with a state that does not change any more.
    public func states(of message: MessageId) -> MessageStates { MessageStates(client: self, message: message) }
}

/// The newest page of a channel, again and again.
public struct LatestMessages: AsyncSequence, Sendable {
    public typealias Element = [Message]

    let channel: Channel
    let limit: Int

    public func makeAsyncIterator() -> Iterator { Iterator(channel: channel, limit: limit) }

    /// Takes page after page.
    public struct Iterator: AsyncIteratorProtocol {
        private let channel: Channel
        private let limit: Int
        private var events: Events.Iterator?
        private var last: [Message] = []
        private var ids: Set<ChannelId>
        private var others: Set<ChannelId> = []

        init(channel: Channel, limit: Int) {
            self.channel = channel
            self.limit = limit
            ids = [channel.id()]
        }

        /// The next page; nothing when the client was shut down, the channel left or the task cancelled.
        public mutating func next() async throws -> [Message]? {
            guard var events else {
                self.events = Events(limit: Events.waiting) { channel.listen(listener: $0) }.makeAsyncIterator()
                last = try await page()
                return last
            }
            defer { self.events = events }
            do {
                while let event = await events.next() {
                    guard try await concerns(event) else { continue }
                    while events.ready() != nil {}
                    let page = try await page()
                    guard page != last else { continue }
                    last = page
                    return page
                }
            } catch AilurusError.Closed {
                // Shut down between an event and the page that it called for.
            } catch AilurusError.NotFound {
                // Left.
            }
            return nil
        }

        private func page() async throws -> [Message] {
            try await channel.messages(page: .latest, limit: UInt32(clamping: limit))
        }

        private mutating func concerns(_ event: Event) async throws -> Bool {
            switch event {
            case .received(let message): return try await isOurs(message.channel)
            case .changed(let channel), .state(let channel, _, _, _): return try await isOurs(channel)
            case .noticed(let notice): return try await concerns(notice.kind)
            case .connected, .ended: return false
            case .lagged: return true
            }
        }

        private mutating func concerns(_ notice: NoticeKind) async throws -> Bool {
            switch notice {
            case .expired(let channel, _), .joined(let channel, _), .moved(let channel), .nameTaken(let channel, _),
                .forked(let channel, _), .rotated(_, let channel, _):
                return try await isOurs(channel)
            case .clock, .missed, .dropped, .refused, .storage, .unreachable, .withheld:
                return false
            }
        }

        /// A rotation gives the channel a new id, so one that was never seen is looked up, once.
        private mutating func isOurs(_ id: ChannelId) async throws -> Bool {
            if ids.contains(id) { return true }
            if others.contains(id) { return false }
            let now = try await channel.summary().id
            ids.insert(now)
            if now != id { others.insert(id) }
            return now == id
        }
    }
}

/// The messages of a channel, newest first.
public struct MessageHistory: AsyncSequence, Sendable {
    public typealias Element = Message

    let channel: Channel
    let pageSize: Int

    public func makeAsyncIterator() -> Iterator { Iterator(channel: channel, pageSize: pageSize) }

    /// Takes message after message.
    public struct Iterator: AsyncIteratorProtocol {
        private let channel: Channel
        private let pageSize: UInt32
        private var page: [Message] = []
        private var next: Page? = .latest

        init(channel: Channel, pageSize: Int) {
            self.channel = channel
            self.pageSize = UInt32(clamping: Swift.max(1, pageSize))
        }

        /// The next older message; nothing after the oldest or when the task was cancelled.
        public mutating func next() async throws -> Message? {
            if page.isEmpty, let next, !Task.isCancelled {
                page = try await channel.messages(page: next, limit: pageSize)
                self.next = page.first.map { .before(message: $0.id) }
            }
            return page.popLast()
        }
    }
}

/// Where an own message stands.
public struct MessageStates: AsyncSequence, Sendable {
    public typealias Element = MessageState

    let client: Client
    let message: MessageId

    public func makeAsyncIterator() -> Iterator { Iterator(client: client, message: message) }

    /// Takes state after state.
    public struct Iterator: AsyncIteratorProtocol {
        private let client: Client
        private var id: MessageId
        private var last: MessageState?
        private var events: Events.Iterator?

        init(client: Client, message: MessageId) {
            self.client = client
            id = message
        }

        /// The next state; nothing after the last one, when the client was shut down, or when the task was cancelled.
        public mutating func next() async throws -> MessageState? {
            var events = self.events ?? client.events.makeAsyncIterator()
            defer { self.events = events }
            guard let last else { return try await read() }
            while last == .queued {
                let state: MessageState
                switch await events.next() {
                case .state(_, let now, let was, let new) where now == id || was == id:
                    id = now
                    state = new
                case .lagged:
                    state = try await read()
                case .none:
                    return nil
                default:
                    continue
                }
                if state != last {
                    self.last = state
                    return state
                }
            }
            return nil
        }

        private mutating func read() async throws -> MessageState {
            let state = try await client.message(id: id).state
            last = state
            return state
        }
    }
}
