package org.ailurus.demo.model

import java.io.File
import java.nio.file.Files
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.ailurus.AppState
import org.ailurus.Client
import org.junit.After
import org.junit.Before

/** Tests with a node and the profiles of some phones. */
abstract class Phones {
    protected lateinit var node: Node
    protected lateinit var folder: File
    private val clients = mutableListOf<Client>()

    @Before
    fun start() {
        node = Node()
        folder = Files.createTempDirectory("phones").toFile()
    }

    @After
    fun stop() {
        runBlocking { clients.forEach { it.shutdown() } }
        clients.forEach { it.close() }
        node.close()
        folder.deleteRecursively()
    }

    protected fun profile(name: String) = Profile(File(folder, name), folder, MemoryVault())

    /** A new phone in somebody's hand. */
    protected suspend fun phone(name: String): Client =
        opened(profile(name).create(name, node.link)).also { it.setAppState(AppState.FOREGROUND) }

    /** To be closed at the end. */
    protected fun opened(client: Client): Client = client.also { clients.add(it) }

    protected fun test(work: suspend () -> Unit): Unit = runBlocking { withTimeout(LIMIT) { work() } }

    protected suspend fun <T> Flow<T>.until(condition: (T) -> Boolean): T = first { condition(it) }

    private companion object {
        const val LIMIT = 60_000L
    }
}
