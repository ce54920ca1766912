import Ailurus
import Foundation

/// Where the profile lies, and where its storage key is kept. The folder stays out of backups, as the key does, without
/// which it could not be read.
public struct Profile: Sendable {
    /// The folder of the library's files.
    public let folder: URL
    /// Keeps the storage key: the Keychain, in the app.
    public let vault: any KeyVault

    public init(folder: URL, vault: any KeyVault) {
        self.folder = folder
        self.vault = vault
    }

    func open() async throws -> Client {
        try makeFolder()
        return try await Client.openWithVault(folder: folder.path, vault: vault)
    }

    func create(name: String, nodes: [String]) async throws -> Client {
        try makeFolder()
        return try await Client.createWithVault(folder: folder.path, vault: vault, name: name, nodes: nodes)
    }

    func restore(backup: URL, passphrase: String) async throws -> Client {
        try makeFolder()
        return try await Client.importBackupWithVault(
            backup: backup.path,
            passphrase: passphrase,
            folder: folder.path,
            vault: vault
        )
    }

    /// What the profile takes on this phone, in bytes.
    func size() throws -> Int64 {
        let files = try FileManager.default.contentsOfDirectory(
            at: folder,
            includingPropertiesForKeys: [.fileSizeKey]
        )
        return files.reduce(0) { sum, file in
            let size = try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize
            return sum + Int64(size ?? 0)
        }
    }

    private func makeFolder() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var values = URLResourceValues()
        values.isExcludedFromBackup = true
        var folder = folder
        try folder.setResourceValues(values)
    }
}
