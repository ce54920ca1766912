// ailurus-interop FOLDER NODE LINK NAME PEER…: a phone for the tests of several languages. It joins a channel, says hello,
// and waits at most a minute until every peer has said hello.

import Ailurus
import Foundation

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count > 4 else {
    FileHandle.standardError.write(Data("usage: ailurus-interop FOLDER NODE LINK NAME PEER…\n".utf8))
    exit(2)
}
let (folder, node, link, name) = (arguments[0], arguments[1], arguments[2], arguments[3])
let peers = Array(arguments[4...])

func chat() async throws {
    let key = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) })
    let client = try await Client.create(folder: folder, key: key, name: name, nodes: [node])
    client.setAppState(state: .foreground)
    let channel = try await client.join(link: link)
    let hello = try await channel.send(text: "hello from \(name)")
    for try await _ in client.states(of: hello) {}
    for try await messages in channel.latest(1_000) {
        let heard = Set(messages.filter { !$0.own }.map(\.text))
        if peers.allSatisfy({ heard.contains("hello from \($0)") }) { break }
    }
    try await client.shutdown()
}

let work = Task { try await chat() }
let alarm = Task {
    try await Task.sleep(nanoseconds: 60_000_000_000)
    FileHandle.standardError.write(Data("\(name) did not hear everyone within a minute\n".utf8))
    exit(1)
}
do {
    try await work.value
    alarm.cancel()
    print(name, "heard", peers.joined(separator: " "))
} catch {
    FileHandle.standardError.write(Data("\(name): \(error.localizedDescription)\n".utf8))
    exit(1)
}
