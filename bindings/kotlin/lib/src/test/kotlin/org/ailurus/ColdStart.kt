package org.ailurus

import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

/** What an app does before it shows a chat: FOLDER KEY (64 hexadecimal digits). `make bench` takes the time of it. */
fun main(arguments: Array<String>) {
    val (folder, digits) = arguments
    val key = digits.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
    val read = runBlocking {
        val client = Client.open(folder, key)
        client.channel(client.channels().first().id).messages(Page.Latest, 50u).size
    }
    println(read)
    System.out.flush()
    exitProcess(0)
}
