import Foundation

extension AilurusError: LocalizedError {
    /// A sentence for people that says what to do next; it holds no secret.
    public var message: String {
        switch self {
        case .AlreadyIn(let message), .Ambiguous(let message), .BadBackup(let message), .BadInput(let message),
            .BadLink(let message), .Busy(let message), .Cancelled(let message), .ChannelExists(let message),
            .Closed(let message), .Corrupt(let message), .DiskFull(let message), .Full(let message),
            .Io(let message), .Moved(let message), .Network(let message), .NewerVersion(let message),
            .NoCode(let message), .NoNode(let message), .NoProfile(let message), .NotAdmin(let message),
            .NotAllowed(let message), .NotFound(let message), .ProfileExists(let message),
            .Protocol(let message), .ReadOnly(let message), .Refused(let message), .Suspended(let message),
            .Vault(let message), .WrongKey(let message):
            return message
        }
    }

    /// The same, where the system asks for it: `localizedDescription` is this sentence.
    public var errorDescription: String? { message }
}

extension VaultError: LocalizedError {
    /// What the vault said.
    public var errorDescription: String? {
        switch self {
        case .Failed(let reason): return reason
        }
    }
}

extension ListenerError: LocalizedError {
    /// What the listener said.
    public var errorDescription: String? {
        switch self {
        case .Failed(let reason): return reason
        }
    }
}

extension LogSinkError: LocalizedError {
    /// What the log sink said.
    public var errorDescription: String? {
        switch self {
        case .Failed(let reason): return reason
        }
    }
}
