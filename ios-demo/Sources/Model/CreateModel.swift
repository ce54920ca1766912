import Ailurus

/// A channel that is about to be made.
@MainActor
public final class CreateModel: ObservableObject, FailureTelling {
    @Published public var name = ""
    @Published public var failure: Failure?

    private let client: Client

    public init(client: Client) {
        self.client = client
    }

    /// Makes the channel and returns its id.
    public func create() async -> ChannelId? {
        await attempt { try await client.createChannel(name: name).id() }
    }
}
