import NIOCore
import NIOHTTP1

struct HTTPAnswer: Sendable {
    var status: Int
    var body: [UInt8]
}

enum AnswerError: Error { case timeout, tooLarge, broken }

/// Collects one response; confined to its channel's event loop.
final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<HTTPAnswer>
    private let limit: Int
    private var answer = HTTPAnswer(status: 0, body: [])

    init(promise: EventLoopPromise<HTTPAnswer>, limit: Int) {
        self.promise = promise
        self.limit = limit
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): answer.status = Int(head.status.code)
        case .body(let bytes):
            guard answer.body.count + bytes.readableBytes <= limit else {
                promise.fail(AnswerError.tooLarge)
                context.close(promise: nil)
                return
            }
            answer.body += bytes.readableBytesView
        case .end: promise.succeed(answer)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(AnswerError.broken)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(AnswerError.broken)
        context.fireChannelInactive()
    }
}
