import Ailurus

/// Who writes in a channel, and who shall no longer.
@MainActor
public final class MembersModel: ObservableObject, FailureTelling {
    @Published public private(set) var members: [Member] = []
    /// This profile may rotate the channel and appoint admins.
    @Published public private(set) var admin = false
    /// Whom the next rotation leaves out.
    @Published public private(set) var chosen: Set<PublicKey> = []
    @Published public var failure: Failure?

    private let client: Client
    private let id: ChannelId

    public init(client: Client, id: ChannelId) {
        self.client = client
        self.id = id
    }

    public func load() async {
        await attempt {
            let channel = try await client.channel(id: id)
            members = try await channel.members()
            admin = try await channel.summary().admin
        }
    }

    /// Chooses a member to be left out, or no longer.
    public func toggle(_ member: Member) {
        guard !member.own, !member.removed else { return }
        if chosen.remove(member.author) == nil { chosen.insert(member.author) }
    }

    /// Moves the channel to new keys, without those who were chosen. Returns its new id.
    public func rotate() async -> ChannelId? {
        let rotation = await attempt {
            try await client.channel(id: id).rotate(without: members.map(\.author).filter(chosen.contains))
        }
        guard let rotation else { return nil }
        chosen = []
        await load()
        return rotation.channel
    }

    /// Makes a member admin too.
    public func appoint(_ member: Member) async {
        await attempt { try await client.channel(id: id).appoint(author: member.author) }
    }
}
