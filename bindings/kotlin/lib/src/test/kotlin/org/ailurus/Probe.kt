package org.ailurus

import kotlinx.coroutines.runBlocking

/** Uses the library without loading it first, and says what came of it, a line an attempt. */
fun main() {
    val attempts = listOf<() -> Any?>(
        { runBlocking { Client.open("/nowhere", ByteArray(32)) } },
        { version() },
        { Cancellation() },
        { Ailurus.load() },
    )
    for (attempt in attempts) {
        try {
            attempt()
        } catch (exception: NativeLibraryException) {
            println("${exception.reason} ${exception.message}")
        } catch (_: AilurusException.NoProfile) {
            continue
        }
    }
    if (runCatching { Ailurus.load() }.isSuccess) {
        println("loaded ${version()}")
    }
}
