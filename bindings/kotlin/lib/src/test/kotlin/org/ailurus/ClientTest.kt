package org.ailurus

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.fail
import org.junit.jupiter.api.io.TempDir

/** A test with profiles of its own, all on one real super node. */
abstract class ClientTest {
    @TempDir
    lateinit var folder: Path

    private val clients = mutableListOf<Client>()

    val node: Node get() = Node.shared

    @AfterEach
    fun shutDown() = test {
        clients.forEach { client ->
            if (!client.uniffiIsDestroyed) {
                client.shutdown()
                client.close()
            }
        }
    }

    fun path(name: String): String = folder.resolve(name).toString()

    suspend fun profile(name: String, nodes: List<String> = listOf(node.link)): Client =
        kept(Client.create(path(name), KEY, name, nodes))

    fun kept(client: Client): Client = client.also(clients::add)

    fun test(limit: Duration = 30.seconds, block: suspend CoroutineScope.() -> Unit): Unit = runBlocking {
        withTimeout(limit, block)
    }
}

val KEY = ByteArray(32) { it.toByte() }
val BUDGET: java.time.Duration = java.time.Duration.ofSeconds(20)
val LONG: java.time.Duration = java.time.Duration.ofSeconds(60)

suspend inline fun <reified E : Throwable> fails(block: suspend () -> Any?): E {
    try {
        block()
    } catch (thrown: Throwable) {
        if (thrown is E) {
            return thrown
        }
        throw AssertionError("${E::class.simpleName} was expected", thrown)
    }
    return fail("${E::class.simpleName} was expected")
}

fun List<Message>.texts(): List<String> = map { it.text }
