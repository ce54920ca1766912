import Ailurus
import Foundation

/// The app as a whole: its profile, its channels, and what comes in from outside.
@MainActor
public final class AppModel: ObservableObject, FailureTelling {
    /// What the app shows.
    public enum Phase: Equatable, Sendable {
        /// The profile is being opened.
        case starting
        /// There is none: make one, or restore it from a backup.
        case welcome
        /// It is open.
        case ready
        /// It cannot be opened.
        case closed(Failure)
    }

    @Published public private(set) var phase = Phase.starting
    /// All channels, oldest first.
    @Published public private(set) var channels: [ChannelSummary] = []
    /// What a person should be told, newest last.
    @Published public private(set) var notices: [Notice] = []
    /// A link that waits for consent.
    @Published public var offer: LinkOffer?
    @Published public var failure: Failure?

    /// A person looks at the app and the client is awake, as the app tells: then views keep their models up to date.
    @Published public var awake = false

    /// The open profile.
    public private(set) var client: Client?
    public let profile: Profile
    private var opening: Task<Void, Never>?

    /// More notices than this are not shown at once.
    private static let noticesShown = 5

    public init(profile: Profile) {
        self.profile = profile
    }

    /// Opens the profile, if it is not open.
    public func start() async {
        guard client == nil else { return }
        let opening = self.opening ?? Task { await open() }
        self.opening = opening
        await opening.value
        self.opening = nil
    }

    /// Makes the profile. `node` is the link of a super node, or an invitation to one, or empty: then the first channel
    /// that is joined brings one.
    public func create(name: String, node: String) async {
        await attempt {
            if case .invitation = try? inspectLink(text: node) {
                try await opened(profile.create(name: name, nodes: []))
                try await client?.add(node: node)
                return
            }
            let nodes = node.isEmpty ? [] : [node]
            try await opened(profile.create(name: name, nodes: nodes))
        }
    }

    /// Makes the profile from a backup.
    public func restore(backup: URL, passphrase: String) async {
        await attempt {
            try await opened(profile.restore(backup: backup, passphrase: passphrase))
        }
    }

    /// Ends the profile's connections and files. `start` opens it again.
    public func close() async {
        guard let client else { return }
        self.client = nil
        phase = .starting
        await attempt { try await client.shutdown() }
    }

    /// Keeps the list of channels and the notices up to date, until the task that runs it is cancelled.
    public func watch() async {
        guard let client else { return }
        // Before the list is read, so that nothing falls between the two.
        let events = client.events
        await refresh()
        for await event in events {
            if Task.isCancelled { return }
            switch event {
            case .noticed(let notice):
                notices = (notices + [notice]).suffix(Self.noticesShown)
                await refresh()
            case .connected:
                break
            default:
                await refresh()
            }
        }
    }

    /// Reads the list of channels again.
    public func refresh() async {
        guard let client else { return }
        await attempt { channels = try await client.channels() }
    }

    /// A person has read the notices.
    public func dismissNotices() {
        notices = []
    }

    /// Takes a link that was scanned, opened (`ailurus:…`) or pasted (also a redPanda `pr…` string).
    public func open(link: String) {
        do {
            offer = try LinkOffer(text: link)
        } catch {
            failure = Failure(error)
        }
    }

    /// Does what the link offers: joins its channel, whose id it returns, or adds its super node.
    @discardableResult
    public func accept(_ offer: LinkOffer) async -> ChannelId? {
        self.offer = nil
        guard let client else { return nil }
        let joined = await attempt { () -> ChannelId? in
            switch offer.info {
            case .channel:
                return try await client.join(link: offer.text).id()
            case .node, .invitation:
                try await client.add(node: offer.text)
                return nil
            }
        }
        await refresh()
        return joined ?? nil
    }

    /// Syncs once, for a background job with the client awake, and returns what notifications should tell. What goes
    /// wrong is for the job: nobody looks, so it is no `failure` to be shown later.
    public func poll(budget: TimeInterval) async throws -> [Announcement] {
        guard let client else { return [] }
        return try await Announcement.all(of: client.syncOnce(budget: budget), in: client)
    }

    private func open() async {
        do {
            try await opened(profile.open())
        } catch AilurusError.NoProfile {
            phase = .welcome
        } catch {
            phase = .closed(Failure(error))
        }
    }

    private func opened(_ client: Client) {
        self.client = client
        phase = .ready
    }
}
