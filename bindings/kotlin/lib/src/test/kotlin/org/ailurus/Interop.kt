package org.ailurus

import java.time.Duration
import kotlin.system.exitProcess
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/**
 * One of several that chat in different languages: FOLDER NODE LINK NAME PEER…
 *
 * Joins the channel of LINK as NAME, says "hello from NAME", and waits until it heard every PEER do so.
 */
fun main(arguments: Array<String>) {
    if (arguments.size < 5) {
        System.err.println("usage: FOLDER NODE LINK NAME PEER…")
        exitProcess(2)
    }
    val (folder, node, link, name) = arguments
    val peers = arguments.drop(4)
    val heard = runBlocking { chat(folder, node, link, name, peers) }
    if (!heard) {
        System.err.println("$name did not hear everyone within a minute")
        exitProcess(1)
    }
    println("$name heard ${peers.joinToString(" ")}")
    exitProcess(0)
}

private suspend fun chat(folder: String, node: String, link: String, name: String, peers: List<String>): Boolean {
    val client = Client.create(folder, ByteArray(32) { 1 }, name, listOf(node))
    val channel = client.join(link)
    client.setAppState(AppState.FOREGROUND)
    val hello = channel.send("hello from $name")
    val heard = withTimeoutOrNull(60_000) {
        channel.latest(100).first { messages ->
            peers.all { peer -> messages.any { !it.own && it.text == "hello from $peer" } }
        }
        client.waitDelivered(hello, Duration.ofSeconds(30)) != null
    }
    client.shutdown()
    return heard == true
}
