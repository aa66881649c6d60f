"""The `context` that toolkit scripts may take as one more argument: TorchServe's, as far as scripts use it."""

from __future__ import annotations

from typing import Mapping

from mooring_model_server.contract import Answer


class RequestProcessor:
    """The request's headers, and what the script says about the response."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.status: int | None = None
        self.content_type: str | None = None
        self.headers: dict[str, str] = {}

    def get_request_properties(self) -> dict[str, str]:
        """All headers of the request, in lower case."""
        return dict(self._headers)

    def get_request_property(self, key: str) -> str | None:
        """One header of the request."""
        return self._headers.get(key.lower())

    def add_response_property(self, key: str, value: str) -> None:
        """Set a header of the response."""
        self.headers[key] = value

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the status of the response."""
        self.status = code


class Context:
    """One invocation as a script sees it."""

    def __init__(self, model_dir: str, headers: Mapping[str, str]) -> None:
        self.system_properties: dict[str, object] = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1}
        self.request_processor = [RequestProcessor(headers)]
        self.model_name = "model"
        self.manifest: dict[str, object] = {}

    def get_request_header(self, idx: int, key: str) -> str | None:
        """One header of the request."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """All headers of the request."""
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the response's Content-Type."""
        self.request_processor[idx].content_type = value

    def get_response_content_type(self, idx: int) -> str | None:
        """The Content-Type that the script set."""
        return self.request_processor[idx].content_type

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set a header of the response."""
        self.request_processor[idx].add_response_property(key, value)

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status of the response."""
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status of the response; batches hold one request here."""
        self.set_response_status(code, phrase)

    def applied_to(self, answer: Answer) -> Answer:
        """The answer with what the script set on the context."""
        said = self.request_processor[0]
        if said.status is None and said.content_type is None and not said.headers:
            return answer
        headers = (*answer.headers, *((str(name), str(value)) for name, value in said.headers.items()))
        content_type = said.content_type or answer.content_type
        return answer._replace(status=said.status or answer.status, content_type=content_type, headers=headers)
