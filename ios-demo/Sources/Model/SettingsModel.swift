import Ailurus
import Foundation

/// The profile's settings: super nodes, storage, backup.
@MainActor
public final class SettingsModel: ObservableObject, FailureTelling {
    /// The name under which the profile introduces itself.
    @Published public private(set) var name = ""
    /// Its super nodes, in the order in which they would be asked.
    @Published public private(set) var nodes: [NodeStatus] = []
    /// What it takes on this phone, in bytes.
    @Published public private(set) var storage: Int64 = 0
    /// A backup that waits to be put where the person wants it.
    @Published public private(set) var backup: URL?
    @Published public var failure: Failure?

    private let client: Client
    private let profile: Profile

    public init(client: Client, profile: Profile) {
        self.client = client
        self.profile = profile
    }

    public func load() async {
        await attempt {
            name = try await client.name()
            nodes = try await client.nodes()
            storage = try profile.size()
        }
    }

    /// Adds a super node by its link, or by an invitation to it. Returns whether that worked.
    public func addNode(_ link: String) async -> Bool {
        let added: Void? = await attempt { try await client.add(node: link) }
        await load()
        return added != nil
    }

    /// Writes a backup into `folder`, for `backup`.
    public func exportBackup(to folder: URL, passphrase: String) async {
        discardBackup()
        let file = folder.appendingPathComponent("\(UUID().uuidString).ailurus-backup")
        await attempt {
            try await client.exportBackup(to: file.path, passphrase: passphrase)
            backup = file
        }
    }

    /// Removes the backup from where it waited; one that was moved away is not touched.
    public func discardBackup() {
        guard let file = backup else { return }
        backup = nil
        try? FileManager.default.removeItem(at: file)
    }
}
