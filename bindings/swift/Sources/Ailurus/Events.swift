import Foundation

extension Client {
    /// What happens from now on: each use of this property is a subscription of its own, which begins at once and ends
    /// when nobody holds it or the client is shut down. Iterate over it once.
    ///
    /// A consumer that is too slow holds nothing up: when more than 256 events wait, the oldest are dropped, and it gets
    /// ``Event/lagged(missed:)`` in their place.
    public var events: Events { events(buffering: Events.waiting) }

    /// The same, with another number of events that may wait.
    public func events(buffering limit: Int) -> Events {
        Events(limit: limit) { listen(listener: $0) }
    }
}

/// What happens in a client. It ends when the client is shut down.
public struct Events: AsyncSequence, Sendable {
    public typealias Element = Event

    /// How many events wait for a consumer if nothing else is said.
    static let waiting = 256

    private let mailbox: Mailbox
    private let subscription: Subscription

    init(limit: Int, listen: (Listener) -> Subscription) {
        mailbox = Mailbox(limit: Swift.max(1, limit))
        // Only the client holds the feed: once it lets go, the feed ends the sequence.
        subscription = listen(Feed(mailbox: mailbox))
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(events: self, signals: mailbox.signals.makeAsyncIterator())
    }

    /// Takes event after event.
    public struct Iterator: AsyncIteratorProtocol {
        private let events: Events
        private var signals: AsyncStream<Void>.Iterator

        init(events: Events, signals: AsyncStream<Void>.Iterator) {
            self.events = events
            self.signals = signals
        }

        /// The next event; nothing when the client was shut down or the task was cancelled.
        public mutating func next() async -> Event? {
            while !Task.isCancelled {
                if let event = events.mailbox.take() {
                    return event
                }
                guard await signals.next() != nil else {
                    return Task.isCancelled ? nil : events.mailbox.take()
                }
            }
            return nil
        }

        /// The next event if there is one already.
        mutating func ready() -> Event? { events.mailbox.take() }
    }
}

/// Hears events and is done with each at once.
private final class Feed: Listener {
    private let mailbox: Mailbox

    init(mailbox: Mailbox) { self.mailbox = mailbox }

    deinit { mailbox.finish() }

    func onEvent(event: Event) {
        if case .ended = event {
            mailbox.finish()
        } else {
            mailbox.put(event)
        }
    }
}

/// What waits for one consumer.
private final class Mailbox: @unchecked Sendable {
    /// Yields once something waits.
    let signals: AsyncStream<Void>

    private let signal: AsyncStream<Void>.Continuation
    private let limit: Int
    private let lock = NSLock()
    private var waiting: [Event] = []
    private var missed: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    func put(_ event: Event) {
        lock.withLock {
            waiting.append(event)
            if waiting.count > limit {
                missed += missing(in: waiting.removeFirst())
            }
        }
        signal.yield()
    }

    func take() -> Event? {
        lock.withLock {
            if missed > 0 {
                defer { missed = 0 }
                return .lagged(missed: missed)
            }
            return waiting.isEmpty ? nil : waiting.removeFirst()
        }
    }

    func finish() { signal.finish() }

    private func missing(in event: Event) -> UInt64 {
        guard case .lagged(let missed) = event else { return 1 }
        return missed
    }
}
